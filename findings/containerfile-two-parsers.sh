#!/bin/bash
# github.com/openshift/imagebuilder v1.2.22 (the parser of podman and buildah) and
# github.com/moby/buildkit v0.34.2 (Docker's), package dockerfile/parser of each
#
# Three Containerfiles that both take without an error, and read differently:
# 1. `CMD ["serve"] # web`: imagebuilder sees the exec form, and nothing after the bracket;
#    buildkit sees the shell form, with the brackets and the remark in the shell's command line.
# 2. A line that ends in two backslashes: for buildkit an escaped backslash, the instruction ends;
#    for imagebuilder a continuation, so the next RUN becomes part of this one's text.
# 3. `# syntax=…` followed by `# escape=…`: buildkit takes both directives; imagebuilder knows
#    one only, and with any other before it `escape` is a remark: the backtick does not continue
#    a line, and half of a command becomes an instruction named after its first word.
#
# One would have guessed that the format has one parser that everybody vendors (imagebuilder's
# began as a copy of Docker's), or that they differ in what only one of them accepts.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/openshift/imagebuilder@v1.2.22 github.com/moby/buildkit@v0.34.2
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	buildkit "github.com/moby/buildkit/frontend/dockerfile/parser"
	imagebuilder "github.com/openshift/imagebuilder/dockerfile/parser"
)

func main() {
	file, err := os.Open(os.Args[2])
	if err != nil {
		panic(err)
	}
	var text string
	if os.Args[1] == "buildkit" {
		result, err := buildkit.Parse(file)
		if err != nil {
			panic(err)
		}
		text = result.AST.Dump()
	} else {
		result, err := imagebuilder.Parse(file)
		if err != nil {
			panic(err)
		}
		text = result.AST.Dump()
	}
	fmt.Println(text)
}
GO
both() { # both FILE BUILDKIT IMAGEBUILDER, each without the first line, which is FROM
	seen=$(gorun buildkit "$work/$1" | tail -n +2 | paste -sd ' ')
	claim "buildkit, $1" "$2" "$seen"
	seen=$(gorun imagebuilder "$work/$1" | tail -n +2 | paste -sd ' ')
	claim "imagebuilder, $1" "$3" "$seen"
}
printf 'FROM scratch\nCMD ["serve"]\nRUN one \\\n  two\n' >"$work/agreed"
both agreed '(cmd "serve") (run "one   two")' '(cmd "serve") (run "one   two")'
printf 'FROM scratch\nCMD ["serve"] # web\n' >"$work/remark"
both remark '(cmd "[\"serve\"] # web")' '(cmd "serve")'
printf 'FROM scratch\nRUN echo a\\\\\nRUN echo b\n' >"$work/backslashes"
both backslashes '(run "echo a\\\\") (run "echo b")' '(run "echo a\\RUN echo b")'
printf '# syntax=docker/dockerfile:1\n# escape=`\nFROM scratch\nRUN echo a `\nlabel b=c\n' >"$work/directives"
both directives '(run "echo a label b=c")' '(run "echo a `") (label "b" "c")'
