#!/bin/bash
# gvisor.dev/gvisor/tools/checklocks v0.0.0-20260905035102-160fafc42237
#
# checklocks counts the field lines of a struct, not the names on them. With `a, b int` below an annotation only
# `a` is guarded, and each annotation further down goes to a field too early by one: to one that bears none,
# while the annotated one may be used without the lock.
#
# One would have guessed that `a, b int` is the same as two lines, as for the compiler and for struct tags. What
# does not fit is not told, and what is told looks like a mistake of the program's.
#
# Seen: of the fields a, b (annotated together), c (not annotated) and d (annotated), each written without the lock, it
# objects to a and c; with one name on a line to a, b and d.
. "$(dirname "$0")/lib.bash"
gomod
version=v0.0.0-20260905035102-160fafc42237
GOBIN="$work" go install "gvisor.dev/gvisor/tools/checklocks/cmd/checklocks@$version" >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
say "with checklocks $version"
check() { # check FIELDS: the names of those that it objects to
	cat >main.go <<GO
package main

import "sync"

type guarded struct {
	mu sync.Mutex
$1
	c int
	// +checklocks:mu
	d int
}

func (g *guarded) writeA() { g.a = 1 }
func (g *guarded) writeB() { g.b = 1 }
func (g *guarded) writeC() { g.c = 1 }
func (g *guarded) writeD() { g.d = 1 }

func main() {}
GO
	go build -o /dev/null . || return
	go vet -vettool="$work/checklocks" -inferred=false . >"$work/log" 2>&1 || true
	sed -n 's/.*must be locked when accessing \([a-d]\) .*/\1/p' "$work/log" | paste -sd ' '
}
seen=$(check $'\t// +checklocks:mu\n\ta int\n\t// +checklocks:mu\n\tb int')
claim "fields that it guards, one on a line" "a b d" "$seen"
seen=$(check $'\t// +checklocks:mu\n\ta, b int')
claim "fields that it guards, two on a line" "a c" "$seen"
