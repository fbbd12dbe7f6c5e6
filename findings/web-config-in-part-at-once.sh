#!/bin/bash
# github.com/prometheus/exporter-toolkit v0.20.0, package web (node_exporter's and Prometheus' own --web.config.file)
#
# The file is read anew with every request, as documented. Users that are added count at once, and a misspelled key makes each
# scrape an error, 500, of a program that started with a good file and runs. But whether it is HTTPS was settled at the
# start: with tls_server_config added the next request is still answered without encryption, and takes the password in
# the clear; with it removed no request of either kind succeeds. Nothing is logged in the first case.
#
# One would have guessed that a file is in force as a whole or not at all: either read at the start (and on a signal), or, as
# is documented, with every request.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/prometheus/exporter-toolkit@v0.20.0 golang.org/x/crypto@v0.57.0
cat >main.go <<'GO'
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/crypto/bcrypt"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

var file = os.Args[1] + "/web.yml"

func write(text string) { check(os.WriteFile(file, []byte(text), 0o600)) }

func certificate() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: private}} {
		check(os.WriteFile(os.Args[1]+"/"+name, pem.EncodeToMemory(block), 0o600))
	}
}

// serve starts a server with that file, and returns its address.
func serve(text string, logged *bytes.Buffer) string {
	write(text)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	}
	go web.Serve(listener, server, &web.FlagConfig{WebConfigFile: &file}, slog.New(slog.NewTextHandler(logged, nil)))
	for ask("http://" + listener.Addr().String()) == "failed" {
		time.Sleep(10 * time.Millisecond)
	}
	return listener.Addr().String()
}

func ask(url string) string {
	request, err := http.NewRequest("GET", url, nil)
	check(err)
	request.SetBasicAuth("somebody", "secret")
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "failed"
	}
	response.Body.Close()
	return fmt.Sprint(response.StatusCode)
}

func both(address string) string { return "http " + ask("http://"+address) + ", https " + ask("https://"+address) }

func main() {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	check(err)
	other, err := bcrypt.GenerateFromPassword([]byte("other"), bcrypt.MinCost)
	check(err)
	users := "basic_auth_users:\n  somebody: " + string(hash) + "\n"
	encrypted := "tls_server_config:\n  cert_file: cert\n  key_file: key\n"
	certificate()

	var logged bytes.Buffer
	plain := serve("", &logged)
	fmt.Println(ask("http://" + plain))
	write("basic_auth_users:\n  somebody: " + string(other) + "\n")
	fmt.Println(ask("http://" + plain))
	write("basic_auth_user:\n  somebody: " + string(hash) + "\n")
	fmt.Println(ask("http://" + plain))
	logged.Reset()
	write(users + encrypted)
	fmt.Println(both(plain), logged.Len())

	address := serve(users+encrypted, &logged)
	fmt.Println(both(address))
	write(users)
	fmt.Println(both(address))
}
GO
gorun "$work" >"$work/seen"
{ read -r empty; read -r user; read -r typo; read -r added; read -r with; read -r removed; } <"$work/seen"
claim "an empty file" 200 "$empty"
claim "a user is added, with another password" 401 "$user"
claim "a key is misspelled" 500 "$typo"
claim "TLS is added, with the password; bytes in the log" "http 200, https failed 0" "$added"
claim "started with TLS" "http 400, https 200" "$with"
claim "TLS is removed" "http 400, https failed" "$removed"
