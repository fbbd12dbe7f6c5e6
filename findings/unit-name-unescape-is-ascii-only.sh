#!/bin/bash
# github.com/coreos/go-systemd/v22 v22.7.0, package unit; compared with Debian's own systemd-escape
#
# UnitNameUnescape, "as `systemd-escape --unescape` would", leaves every \xNN from \x80 on as it is: it
# takes the two digits for a signed byte. UnitNameEscape writes bytes below 16 with one digit (\x9 for a tab), which
# neither it nor systemd takes back. UnitNamePathEscape keeps the "." of /a/./b, and so names a
# mount unit that systemd does not know.
#
# One would have guessed that the two functions undo each other, as a short look with "my-disk" shows: the mount
# point of a unit for /media/Müller is returned as a path that does not exist.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need systemd-escape
gomod github.com/coreos/go-systemd/v22@v22.7.0
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/coreos/go-systemd/v22/unit"
)

func main() {
	fmt.Print(map[string]func(string) string{
		"escape":        unit.UnitNameEscape,
		"unescape":      unit.UnitNameUnescape,
		"path-escape":   unit.UnitNamePathEscape,
		"path-unescape": unit.UnitNamePathUnescape,
	}[os.Args[1]](os.Args[2]))
}
GO
gorun escape my-disk >"$work/seen"
go="$work/go/prog"
claim "my-disk, escaped by both" 'my\x2ddisk my\x2ddisk' "$("$go" escape my-disk) $(systemd-escape my-disk)"
claim "and unescaped by both" 'my-disk my-disk' "$("$go" unescape 'my\x2ddisk') $(systemd-escape -u 'my\x2ddisk')"
claim "/media/Müller, escaped by both" 'media-M\xc3\xbcller media-M\xc3\xbcller' \
	"$("$go" path-escape /media/Müller) $(systemd-escape -p /media/Müller)"
claim "and unescaped by both" '/media/M\xc3\xbcller /media/Müller' \
	"$("$go" path-unescape 'media-M\xc3\xbcller') $(systemd-escape -u -p 'media-M\xc3\xbcller')"
claim "a tab, escaped by both" 'a\x9b a\x09b' "$("$go" escape $'a\tb') $(systemd-escape $'a\tb')"
claim "/a/./b, escaped by both" 'a-.-b a-b' "$("$go" path-escape /a/./b) $(systemd-escape -p /a/./b)"
