#!/bin/bash
# github.com/containers/gvisor-tap-vsock v0.8.9, package pkg/services/dns (gvproxy: the network of podman machines)
#
# Of gvproxy's DNS zones the first one answers whose name ends as the question does, also where a closer one is configured and has
# the name: behind `internal.` a zone `containers.internal.` is never asked. A name with a capital letter is in no zone.
# POST /services/dns/add with one record of a zone that is there already takes that zone's default address away: its other names,
# which had an answer before, are NXDOMAIN. Each question for an IPv6 address is answered with success and no address, also
# for names that do not exist.
#
# One would have guessed that a zone is chosen as by every name server (the longest that fits, in any case of letters), that "add"
# adds, and that a name which does not exist does not exist whatever is asked about it.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/containers/gvisor-tap-vsock@v0.8.9
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	gvproxy "github.com/containers/gvisor-tap-vsock/pkg/services/dns"
	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/miekg/dns"
)

func main() {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server, err := gvproxy.New(conn, nil, []types.Zone{
		{Name: "internal.", DefaultIP: net.IPv4(10, 0, 0, 1)},
		{Name: "containers.internal.", Records: []types.Record{{Name: "host", IP: net.IPv4(10, 0, 0, 2)}}},
		{Name: "dev.test.", DefaultIP: net.IPv4(10, 0, 0, 3)},
	})
	if err != nil {
		panic(err)
	}
	go server.Serve()
	ask := func(name string, kind uint16) {
		question := new(dns.Msg).SetQuestion(name, kind)
		answer, _, err := new(dns.Client).Exchange(question, conn.LocalAddr().String())
		if err != nil {
			panic(err)
		}
		fmt.Print(dns.RcodeToString[answer.Rcode])
		for _, record := range answer.Answer {
			fmt.Print(" ", dns.Field(record, 1))
		}
		fmt.Println()
	}
	ask("host.containers.internal.", dns.TypeA)
	ask("app.dev.test.", dns.TypeA)
	ask("App.dev.test.", dns.TypeA)
	ask("app.Dev.test.", dns.TypeA)
	ask("nobody.invalid.", dns.TypeAAAA)
	ask("nobody.invalid.", dns.TypeA)
	api := httptest.NewServer(server.Mux())
	_, err = http.Post(api.URL+"/add", "application/json", strings.NewReader(`{"Name": "dev.test.", "Records": [{"Name": "db", "IP": "10.0.0.4"}]}`))
	if err != nil {
		panic(err)
	}
	ask("db.dev.test.", dns.TypeA)
	ask("app.dev.test.", dns.TypeA)
}
GO
gorun >"$work/seen"
{ read -r closest; read -r name; read -r capital; read -r domain; read -r six; read -r four; read -r added; read -r other; } <"$work/seen"
claim "host.containers.internal, of internal. and containers.internal." "NOERROR 10.0.0.1" "$closest"
claim "app.dev.test" "NOERROR 10.0.0.3" "$name"
claim "App.dev.test, app.Dev.test" "NOERROR 10.0.0.3, NXDOMAIN" "$capital, $domain"
claim "nobody.invalid, AAAA and A" "NOERROR, NXDOMAIN" "$six, $four"
claim "db.dev.test, which was added, and app.dev.test after that" "NOERROR 10.0.0.4, NXDOMAIN" "$added, $other"
