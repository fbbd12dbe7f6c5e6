#!/bin/bash
# github.com/spf13/pflag v1.0.9
#
# The argument of a StringSlice flag is read as CSV, and of that the first record only: what follows a newline is
# dropped without an error. StringToString does so if there is more than one "=" in its argument; with one, all of it is
# one value: `a=b,c` is a → "b,c", and `a=b,c=d` is a → "b", c → "d".
#
# One would have guessed that a comma separates and all else stays, or that what can't be taken is refused (as is a
# quote within a word): `--skip "$(cat names)"`, with a name on a line, skips the first.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/spf13/pflag@v1.0.9
cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/spf13/pflag"
)

func main() {
	for _, text := range []string{"one,two", "one\ntwo"} {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		slice := flags.StringSlice("slice", nil, "")
		array := flags.StringArray("array", nil, "")
		err := flags.Parse([]string{"--slice", text, "--array", text})
		fmt.Printf("%q %q %v\n", *slice, *array, err)
	}
	for _, text := range []string{"a=b,c", "a=b,c=d", "a=b\nc", "a=b\nc=d"} {
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		pairs := flags.StringToString("pairs", nil, "")
		err := flags.Parse([]string{"--pairs", text})
		fmt.Printf("%q %v\n", *pairs, err)
	}
}
GO
gorun >"$work/seen"
mapfile -t seen <"$work/seen"
claim 'one,two to StringSlice, StringArray, and the error' '["one" "two"] ["one,two"] <nil>' "${seen[0]}"
claim 'one\ntwo' '["one"] ["one\ntwo"] <nil>' "${seen[1]}"
claim 'a=b,c to StringToString' 'map["a":"b,c"] <nil>' "${seen[2]}"
claim 'a=b,c=d' 'map["a":"b" "c":"d"] <nil>' "${seen[3]}"
claim 'a=b\nc' 'map["a":"b\nc"] <nil>' "${seen[4]}"
claim 'a=b\nc=d' 'map["a":"b"] <nil>' "${seen[5]}"
