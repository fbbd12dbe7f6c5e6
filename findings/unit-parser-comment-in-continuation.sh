#!/bin/bash
# github.com/coreos/go-systemd/v22 v22.7.0, package unit; compared with Debian's own systemd
#
# systemd.syntax(7) lets a comment line stand between the lines that a backslash joins; it is
# skipped and the value goes on below it. unit.Deserialize takes the comment for part of the value,
# ends the option there, and fails at the next line. Joined lines without a comment are not joined: the value
# has the backslash and the newline in it, where systemd has a space. It also refuses every line of more than 2048
# bytes (systemd: 1 MiB), which a generated ExecStart= or Environment= reaches easily.
#
# One would have guessed that the parser of the project named go-systemd reads whatever
# systemd's own documentation shows as an example.
#
# Seen: "unexpected newline encountered while parsing option name" for the first,
# "line too long (max 2048 bytes)" for the second; systemd-analyze accepts both.
. "$(dirname "$0")/lib.bash"
need systemd-analyze
gomod github.com/coreos/go-systemd/v22@v22.7.0
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/coreos/go-systemd/v22/unit"
)

func main() {
	file, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	options, err := unit.Deserialize(file)
	fmt.Println(err)
	if err == nil {
		fmt.Fprintf(os.Stderr, "%q\n", options[0].Value)
	}
}
GO
printf '[Service]\nExecStart=/bin/echo one \\\n# a comment\n  two\n' >"$work/comment.service"
printf '[Service]\nExecStart=/bin/echo %s\n' "$(printf 'x%.0s' {1..3000})" >"$work/long.service"
printf '[Service]\nExecStart=/bin/echo one \\\n  two\n' >"$work/plain.service"
for name in plain comment long; do
	# Warnings about other units of the host are none about ours.
	complaints=$(systemd-analyze verify --man=no "$work/$name.service" 2>&1 | grep -c "$name.service" || true)
	claim "complaints of systemd about $name.service" 0 "$complaints"
done
seen=$(gorun "$work/plain.service" 2>"$work/value")
claim "go-systemd, joined lines" "<nil>" "$seen"
claim "their value" '"/bin/echo one \\\n  two"' "$(cat "$work/value")"
claim "go-systemd, a comment between them" "unexpected newline encountered while parsing option name" \
	"$(gorun "$work/comment.service")"
seen=$(gorun "$work/long.service")
claim "go-systemd, a long line" "line too long (max 2048 bytes)" "$seen"
