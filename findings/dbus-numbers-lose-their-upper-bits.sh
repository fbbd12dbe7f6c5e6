#!/bin/bash
# github.com/godbus/dbus/v5 v5.2.4
#
# An int of Go's is sent as an INT32, a uint as a UINT32, whatever it holds: 4294967303 arrives as 7. Store, by which the answer
# of a call or a property is read, does the same: 300 into a byte is 44, -1 into a uint 18446744073709551615, and
# systemd's "infinity" (all bits of a UINT64) into an int64 -1. There is no error. A UINT64 of microseconds, as systemd
# has them, goes into a time.Duration as nanoseconds. A list replaces the one that was there, a map is merged with it.
#
# One would have guessed an error, as for a number into a bool: Store says that it returns one "if the types of their
# elements don't match", and a library that has a type for each width can't mean int to be one of them. A MemoryMax=
# that was computed as an int is right up to 2 GiB.
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
	"time"

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
		return err
	}
	received, err := dbus.DecodeMessage(&wire)
	if err != nil {
		return err
	}
	return received.Body[0]
}

func store[T any](value any, into T) string {
	err := dbus.Store([]any{value}, &into)
	return fmt.Sprint(into, " ", err)
}

func main() {
	large := 1<<32 + 7
	for _, value := range []any{large, uint(large), int64(large)} {
		arrived := sent(value)
		fmt.Printf("%T %v, ", arrived, arrived)
	}
	fmt.Println()
	fmt.Println(store(uint32(300), byte(0)), store(int32(-1), uint(0)), store(uint64(math.MaxUint64), int64(0)))
	fmt.Println(store(int32(1), false))
	fmt.Println(store(uint64(5_000_000), time.Duration(0)))
	fmt.Println(store([]string{"new"}, []string{"old", "older"}), store(map[string]string{"new": ""}, map[string]string{"old": ""}))
}
GO
gorun >"$work/seen"
{ read -r sent; read -r stored; read -r bool; read -r span; read -r lists; } <"$work/seen"
claim "4294967303 as int, uint and int64, as they arrive" "int32 7, uint32 7, int64 4294967303, " "$sent "
claim "300 into a byte, -1 into a uint, infinity into an int64" "44 <nil> 18446744073709551615 <nil> -1 <nil>" "$stored"
claim "1 into a bool" "false dbus.Store: type mismatch: cannot convert int32 to bool" "$bool"
claim "5 s in microseconds into a Duration" "5ms <nil>" "$span"
claim "into a list and a map that are not empty" "[new] <nil> map[new: old:] <nil>" "$lists"
