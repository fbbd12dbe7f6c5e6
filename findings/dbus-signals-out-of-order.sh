#!/bin/bash
# github.com/godbus/dbus/v5 v5.2.4
#
# A channel that was passed to Conn.Signal and is full when signals arrive gets them later, in any
# order: each waits in a goroutine of its own, of which there may be as many as there are signals.
# With the option WithSignalHandler(NewSequentialSignalHandler()) the order is kept.
#
# One would have guessed one of the two usual ways of Go, the reader blocks or the signal is dropped
# (as signal.Notify does), and the order that D-Bus guarantees in both: code that takes
# JobRemoved after JobNew, or the last PropertiesChanged for the present state, is
# right until its receiver is slow once.
#
# Seen: 300 signals, numbered, to a channel with room for 1: all 300 arrive, about 60 to 299 of
# them after one with a higher number; with the sequential handler none.
. "$(dirname "$0")/lib.bash"
gomod github.com/godbus/dbus/v5@v5.2.4
cat >main.go <<'GO'
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

const signals = 300

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve plays the part of a bus: it authenticates anybody and sends numbered signals.
func serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		check(err)
		line = strings.TrimLeft(strings.TrimSpace(line), "\x00")
		switch {
		case line == "BEGIN":
			for i := range signals {
				m := &dbus.Message{
					Type: dbus.TypeSignal,
					Headers: map[dbus.HeaderField]dbus.Variant{
						dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/a")),
						dbus.FieldInterface: dbus.MakeVariant("a.b"),
						dbus.FieldMember:    dbus.MakeVariant("C"),
						dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(int32(0))),
					},
					Body: []any{int32(i)},
				}
				check(m.EncodeTo(conn, binary.LittleEndian))
			}
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

// late counts the signals, and those that came after one with a higher number.
func late(options ...dbus.ConnOption) (all, late int) {
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	listener, err := net.Listen("unix", dir+"/bus")
	check(err)
	go func() {
		conn, err := listener.Accept()
		check(err)
		serve(conn)
	}()
	conn, err := dbus.Dial("unix:path="+dir+"/bus", options...)
	check(err)
	defer conn.Close()
	received := make(chan *dbus.Signal, 1)
	conn.Signal(received)
	check(conn.Auth([]dbus.Auth{dbus.AuthExternal("0")}))
	time.Sleep(500 * time.Millisecond) // the slow receiver
	highest := int32(-1)
	for ; all < signals; all++ {
		n := (<-received).Body[0].(int32)
		if n < highest {
			late++
		}
		highest = max(highest, n)
	}
	return all, late
}

func main() {
	all, wrong := late()
	fmt.Fprintln(os.Stderr, "default handler:", all, "signals,", wrong, "late")
	allSequential, wrongSequential := late(dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
	fmt.Fprintln(os.Stderr, "sequential handler:", allSequential, "signals,", wrongSequential, "late")
	fmt.Println(all, wrong > 0, allSequential, wrongSequential > 0)
}
GO
seen=$(gorun)
claim "signals received and whether some were late, by the default and the sequential handler" "300 true 300 false" "$seen"
