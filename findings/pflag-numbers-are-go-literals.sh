#!/bin/bash
# github.com/spf13/pflag v1.0.9; Go's own package flag does the same
#
# A number on the command line is read as in Go's source: 010 is 8, 0x10 is 16, 1_000 is 1000, and 08 is an error. The
# elements of an IntSlice are decimal: 010 is 10 there, and 08 is 8.
#
# One would have guessed decimal numbers, as by Python's argparse or strconv.Atoi: `--hour "$(date +%H)"` is right until
# 07, and an error at 08 and 09; `--jobs 010` runs 8.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/spf13/pflag@v1.0.9
cat >main.go <<'GO'
package main

import (
	"flag"
	"fmt"
	"io"

	"github.com/spf13/pflag"
)

func main() {
	for _, text := range []string{"10", "010", "08"} {
		p := pflag.NewFlagSet("p", pflag.ContinueOnError)
		number := p.Int("number", -1, "")
		err := p.Parse([]string{"--number", text})
		p = pflag.NewFlagSet("p", pflag.ContinueOnError)
		list := p.IntSlice("list", nil, "")
		listErr := p.Parse([]string{"--list", text})
		f := flag.NewFlagSet("f", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		std := f.Int("number", -1, "")
		stdErr := f.Parse([]string{"--number", text})
		fmt.Println(*number, err == nil, *std, stdErr == nil, *list, listErr == nil)
	}
}
GO
gorun >"$work/seen"
{ read -r plain; read -r zero; read -r eight; } <"$work/seen"
claim "10, by pflag, by flag, by an IntSlice, each with whether it is accepted" "10 true 10 true [10] true" "$plain"
claim "010" "8 true 8 true [10] true" "$zero"
claim "08" "0 false 0 false [8] true" "$eight"
