#!/bin/bash
# Go 1.26, net
#
# Close of a unix listener removes the path that it was bound to, whatever is there by then: also the socket of
# a process that has taken the place since. That one goes on, listens, and can't be reached.
#
# One would have guessed that Close takes away what Listen has put there, and asks by the inode whether it is
# still that (asyncio of Python does since 3.13). With a new process that is started before the old one has ended,
# the usual "remove the stale socket, then listen" leaves a service without a socket, and without an error.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod
say "with $(go version)"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func reached(path string) bool {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

func main() {
	path := os.Args[1] + "/socket"
	old, err := net.Listen("unix", path)
	check(err)
	check(os.Remove(path))
	young, err := net.Listen("unix", path)
	check(err)
	fmt.Println(reached(path))
	check(old.Close())
	_, err = os.Stat(path)
	fmt.Println(reached(path), os.IsNotExist(err))
	fmt.Println(young.Close())
}
GO
gorun "$work" >"$work/seen"
{ read -r before; read -r after; read -r closed; } <"$work/seen"
claim "whether the second listener is reached" true "$before"
claim "after the first was closed: whether it is reached, whether the path is gone" "false true" "$after"
claim "the second one's Close returns" "<nil>" "$closed"
