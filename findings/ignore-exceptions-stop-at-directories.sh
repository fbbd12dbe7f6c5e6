#!/bin/bash
# Debian trixie: buildah 1.39.3+ds1-1+b7 (podman build has the same code); compared with what Docker's BuildKit reads and walks
# with: github.com/moby/patternmatcher v0.6.1, github.com/tonistiigi/fsutil v0.0.0-20261103091533-a72de9dcf763
#
# An exception in a .dockerignore or .containerignore does not reach into a directory that a line before it excludes, unless it
# begins with that directory's name, letter by letter: of `*` and `!**/*.go` only the Go files at the top are in the
# image, of `*` and `!src/**/*.go` those in src and none below, and of `*` and `!*/main.go` nothing. `src` with
# `!src/deep/main.go` does as one would think.
#
# One would have guessed that the last line which matches a file decides about it, as documented and as Docker has it. A program
# that is built from part of its files is noticed late, if at all.
#
# Why: whether to look into an excluded directory is told by comparing the two as text.
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
mkdir -p "$context/src/deep"
: >"$work/run/containers.conf"
printf 'FROM scratch\nCOPY . /\n' >"$work/run/Containerfile"
for name in main.go notes src/main.go src/deep/main.go; do : >"$context/$name"; done
row() { sort | grep -v '^\.dockerignore$' | paste -sd " " || true; }
# both LINE LINE BUILDAH BUILDKIT: the files of the context that are copied
both() {
	printf '%s\n%s\n' "$1" "$2" >"$context/.dockerignore"
	# shellcheck disable=SC2016
	seen=$(
		(within sh -c '
			buildah() { command buildah --root /var/tmp/s --runroot /var/tmp/r --storage-driver vfs "$@"; }
			image=$(buildah build -q --isolation chroot -f /run/Containerfile /run/context)
			cd "$(buildah mount "$(buildah from "$image")")" && find . -type f | cut -c3-') | row
	)
	claim "buildah, with '$1' and '$2'" "$3" "$seen"
	claim "buildkit, with '$1' and '$2'" "$4" "$(gorun "$context" | row)"
}
both src '!src/deep/main.go' "main.go notes src/deep/main.go" "main.go notes src/deep/main.go"
both '*' '!src' "src/deep/main.go src/main.go" "src/deep/main.go src/main.go"
both '*' '!**/*.go' "main.go" "main.go src/deep/main.go src/main.go"
both '*' '!src/**/*.go' "src/main.go" "src/deep/main.go src/main.go"
both '*' '!*/main.go' "" "src/main.go"
