#!/bin/bash
# github.com/spf13/cobra v1.10.2
#
# A word that is no command is an error directly below the root only. Below a command that groups others
# (`tool image`, with `tool image list`) any word prints the help, on stdout, and Execute returns nil: no error, no
# suggestion. Args: cobra.NoArgs on the group changes nothing, for arguments of what has no Run are
# not validated; it takes a RunE besides.
#
# One would have guessed that the rule of the first level holds on the second: a script that
# calls `tool image prnue && ...` goes on, and finds a help text where it expected output.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/spf13/cobra@v1.10.2
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func run(args cobra.PositionalArgs, runE func(*cobra.Command, []string) error, words ...string) {
	var stdout, stderr bytes.Buffer
	root := &cobra.Command{Use: "tool"}
	group := &cobra.Command{Use: "image", Short: "about images", Args: args, RunE: runE}
	group.AddCommand(&cobra.Command{Use: "list", Run: func(*cobra.Command, []string) {}})
	root.AddCommand(group)
	root.SetArgs(words)
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	err := root.Execute()
	text := "none"
	if err != nil {
		text, _, _ = strings.Cut(err.Error(), "\n")
	}
	fmt.Printf("%s; help on stdout: %v\n", text, strings.HasPrefix(stdout.String(), "about images"))
}

func main() {
	help := func(c *cobra.Command, _ []string) error { return c.Help() }
	run(nil, nil, "lits")
	run(nil, nil, "image", "lits")
	run(cobra.NoArgs, nil, "image", "lits")
	run(cobra.NoArgs, help, "image", "lits")
}
GO
gorun >"$work/seen"
{ read -r top; read -r group; read -r noargs; read -r both; } <"$work/seen"
claim "error of tool lits" 'unknown command "lits" for "tool"; help on stdout: false' "$top"
claim "error of tool image lits" "none; help on stdout: true" "$group"
claim "error of tool image lits, with NoArgs" "none; help on stdout: true" "$noargs"
claim "error of tool image lits, with NoArgs and RunE" 'unknown command "lits" for "tool image"; help on stdout: false' "$both"
