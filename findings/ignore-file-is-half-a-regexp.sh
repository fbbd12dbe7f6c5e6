#!/bin/bash
# Debian trixie: buildah 1.39.3+ds1-1+b7 (podman build has the same code); compared with what Docker's BuildKit reads and walks
# with: github.com/moby/patternmatcher v0.6.1, github.com/tonistiigi/fsutil v0.0.0-20261103091533-a72de9dcf763
#
# In a .dockerignore or .containerignore the characters + ( ) | are what they are in a regular expression: `a+b` and
# `report(1)` do not keep the files of these names out of the image, `a|b` keeps out whatever begins with an a, or ends
# with a b, and with `libstdc++` in it the build fails, "syntax error in pattern". And `/plain` with a blank before
# it keeps nothing out.
#
# One would have guessed that * ? [ and a leading ! are all that is special, as documented, and that the two tools, of which
# one has taken its code from the other, read the same file alike. Docker does as one would guess.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/moby/patternmatcher@v0.6.1 github.com/tonistiigi/fsutil@v0.0.0-20261103091533-a72de9dcf763
root "${TRIXIE[@]}"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	iofs "io/fs"
	"os"

	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
)

func main() {
	file, err := os.Open(os.Args[1] + "/.dockerignore")
	if err != nil {
		panic(err)
	}
	patterns, err := ignorefile.ReadAll(file)
	if err != nil {
		panic(err)
	}
	tree, err := fsutil.NewFS(os.Args[1])
	if err != nil {
		panic(err)
	}
	tree, err = fsutil.NewFilterFS(tree, &fsutil.FilterOpt{ExcludePatterns: patterns})
	if err != nil {
		panic(err)
	}
	err = tree.Walk(context.Background(), "", func(path string, entry iofs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			fmt.Println(path)
		}
		return err
	})
	if err != nil {
		panic(err)
	}
}
GO
context=$work/run/context
mkdir -p "$context"
: >"$work/run/containers.conf"
printf 'FROM scratch\nCOPY . /\n' >"$work/run/Containerfile"
for name in 'a+b' apple plain 'report(1)' web; do : >"$context/$name"; done
row() { sort | grep -v '^\.dockerignore$' | paste -sd " "; }
# both PATTERN BUILDAH BUILDKIT: the files of the context that are copied, or what the build fails of.
both() {
	local seen
	printf '%s\n' "$1" >"$context/.dockerignore"
	# shellcheck disable=SC2016
	seen=$(
		(within sh -c '
			buildah() { command buildah --root /var/tmp/s --runroot /var/tmp/r --storage-driver vfs "$@"; }
			image=$(buildah build -q --isolation chroot -f /run/Containerfile /run/context 2>/run/log) || {
				grep -o "syntax error in pattern" /run/log | head -1
				exit
			}
			cd "$(buildah mount "$(buildah from "$image")")" && find . -type f | cut -c3-') | row
	)
	claim "buildah, with '$1'" "$2" "$seen"
	claim "buildkit, with '$1'" "$3" "$(gorun "$context" | row)"
}
both 'a*' "plain report(1) web" "plain report(1) web"
both '/plain' "a+b apple report(1) web" "a+b apple report(1) web"
both ' /plain' "a+b apple plain report(1) web" "a+b apple report(1) web"
both 'a+b' "a+b apple plain report(1) web" "apple plain report(1) web"
both 'report(1)' "a+b apple plain report(1) web" "a+b apple plain web"
both 'a|b' "plain report(1)" "a+b apple plain report(1) web"
both 'libstdc++' "syntax error in pattern" "a+b apple plain report(1) web"
