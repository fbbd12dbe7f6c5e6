#!/bin/bash
# github.com/coreos/go-systemd/v22 v22.7.0, package dbus; github.com/godbus/dbus/v5 v5.2.4
#
# The context of NewWithContext, NewSystemConnectionContext and the like is the connection's, for life: its end
# closes a connection that was established long before, and every call on it fails, whatever context the
# call itself was given. godbus' dbus.WithContext, which is behind it, is the same.
#
# One would have guessed what net.Dialer.DialContext says and grpc.DialContext does: once connected, the context has no
# more effect. The usual `ctx, cancel := context.WithTimeout(ctx, 5*time.Second); defer cancel()` in a
# function that connects returns a connection that is closed already.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/coreos/go-systemd/v22@v22.7.0 github.com/godbus/dbus/v5@v5.2.4
cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve plays the part of a bus with systemd on it: every call is answered with one string.
func serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimLeft(strings.TrimSpace(line), "\x00")
		switch {
		case line == "BEGIN":
			answer(conn, in)
			return
		case strings.HasPrefix(line, "AUTH EXTERNAL"):
			fmt.Fprint(conn, "OK 0123456789abcdef0123456789abcdef\r\n")
		case strings.HasPrefix(line, "AUTH"):
			fmt.Fprint(conn, "REJECTED EXTERNAL\r\n")
		default:
			fmt.Fprint(conn, "ERROR\r\n")
		}
	}
}

func answer(conn net.Conn, in *bufio.Reader) {
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		var value any = ":1.1"
		if call.Headers[dbus.FieldMember].Value() == "Get" {
			value = dbus.MakeVariant("257")
		}
		reply := &dbus.Message{
			Type: dbus.TypeMethodReply,
			Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldReplySerial: dbus.MakeVariant(call.Serial()),
				dbus.FieldSender:      dbus.MakeVariant("org.freedesktop.DBus"),
				dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(value)),
			},
			Body: []any{value},
		}
		if reply.EncodeTo(conn, binary.LittleEndian) != nil {
			return
		}
	}
}

func main() {
	address := os.Args[1] + "/bus"
	listener, err := net.Listen("unix", address)
	check(err)
	go func() {
		for {
			conn, err := listener.Accept()
			check(err)
			go serve(conn)
		}
	}()
	check(os.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+address))
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := systemd.NewSystemConnectionContext(ctx)
	check(err)
	version, err := conn.GetManagerProperty("Version")
	fmt.Println(version, err, conn.Connected())
	cancel()
	for try := 0; conn.Connected() && try < 300; try++ {
		time.Sleep(10 * time.Millisecond)
	}
	_, err = conn.ListUnitsContext(context.Background())
	fmt.Println(conn.Connected(), err != nil)
	fmt.Fprintln(os.Stderr, "the error of a call:", err)
}
GO
gorun "$work" >"$work/seen"
{ read -r before; read -r after; } <"$work/seen"
claim "a call, its error, and whether it is connected" '"257" <nil> true' "$before"
claim "when the context of the connecting has ended: whether it is connected, whether a call fails" "false true" "$after"
