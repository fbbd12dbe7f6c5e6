#!/bin/bash
# github.com/godbus/dbus/v5 v5.2.4
#
# What Variant.String writes, ParseVariant does not read: a struct (systemd's property Job, an entry of ListUnits) is an error,
# "unrecognized type", as NaN and the infinities are. Of one that came over the bus String writes a list in brackets, which
# is no struct in that format and can't be read either. "\x1b[1m", a string with a control character, is read without an
# error, as "x1b[1m".
#
# One would have guessed that the two are each other's inverse: both are documented to speak GVariant's text format, and String takes
# care to write a type where the value alone would not tell it.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/godbus/dbus/v5@v5.2.4
cat >main.go <<'GO'
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/godbus/dbus/v5"
)

// sent is the value as it arrives.
func sent(value any) any {
	message := &dbus.Message{
		Type: dbus.TypeSignal,
		Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/a")),
			dbus.FieldInterface: dbus.MakeVariant("a.b"),
			dbus.FieldMember:    dbus.MakeVariant("C"),
			dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(value)),
		},
		Body: []any{value},
	}
	var wire bytes.Buffer
	if err := message.EncodeTo(&wire, binary.LittleEndian); err != nil {
		panic(err)
	}
	received, err := dbus.DecodeMessage(&wire)
	if err != nil {
		panic(err)
	}
	return received.Body[0]
}

// read is what is written, and the value that is read from it.
func read(variant dbus.Variant) string {
	text := variant.String()
	back, err := dbus.ParseVariant(text, dbus.Signature{})
	if err != nil {
		return fmt.Sprint(text, ": ", err)
	}
	return fmt.Sprintf("%s: %q", text, fmt.Sprint(back.Value()))
}

type job struct {
	ID   uint32
	Path dbus.ObjectPath
}

func main() {
	variant := dbus.MakeVariant(job{7, "/job/7"})
	fmt.Println(read(dbus.MakeVariant(uint16(7))))
	fmt.Println(read(variant))
	fmt.Println(read(sent(variant).(dbus.Variant)))
	fmt.Println(read(dbus.MakeVariant(math.NaN())))
	fmt.Println(read(dbus.MakeVariant("\x1b[1m")))
}
GO
gorun >"$work/seen"
{ read -r plain; read -r struct; read -r received; read -r nan; read -r string; } <"$work/seen"
claim "a number" '@q 7: "7"' "$plain"
claim "a struct" '@(uo) (7, "/job/7",): unrecognized type "(7,"' "$struct"
claim "the same when it was received" '@(uo) [7, "/job/7"]: can'"'"'t parse "7" with given type information' "$received"
claim "NaN" '@d NaN: unrecognized type "NaN"' "$nan"
claim "an escape sequence" '"\x1b[1m": "x1b[1m"' "$string"
