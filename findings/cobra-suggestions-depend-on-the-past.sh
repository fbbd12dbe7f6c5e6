#!/bin/bash
# github.com/spf13/cobra v1.10.2
#
# SuggestionsFor finds a mistyped command only after Execute has failed once: the documented distance of 2 is
# set by the error path, as a side effect that stays, and is 0 before. It returns a command twice that
# fits by its name and by its SuggestFor, and so does "Did you mean this?".
#
# One would have guessed that a method which only asks gives the same answer each time, and that a list of
# suggestions is a set.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/spf13/cobra@v1.10.2
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{Use: "tool", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(&cobra.Command{Use: "list", SuggestFor: []string{"lits"}, Run: func(*cobra.Command, []string) {}},
		&cobra.Command{Use: "stop", Run: func(*cobra.Command, []string) {}})
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	fmt.Println(root.SuggestionsFor("stpo"), root.SuggestionsFor("lits"))
	root.SetArgs([]string{"lits"})
	fmt.Println(strings.Join(strings.Fields(root.Execute().Error()), " "))
	fmt.Println(root.SuggestionsFor("stpo"), root.SuggestionsFor("lits"))
}
GO
gorun >"$work/seen"
{ read -r before; read -r message; read -r after; } <"$work/seen"
claim "suggestions for stpo and lits, before" "[] [list]" "$before"
claim "the error" 'unknown command "lits" for "tool" Did you mean this? list list' "$message"
claim "suggestions for stpo and lits, after" "[stop] [list list]" "$after"
