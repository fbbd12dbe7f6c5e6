#!/bin/bash
# github.com/prometheus/procfs v0.23.0
#
# Proc.CmdLine returns argv without its last arguments where those are empty strings:
# `sh -c CMD '' ''` comes back as three arguments. An empty argument in the middle is kept.
# Of /proc/PID/cmdline, where each argument ends with a NUL, all NULs at the end are trimmed
# before it is split.
#
# One would have guessed that the arguments come back as they were passed, or that all empty
# ones are lost; a comparison of argv with what one started fails for some values of one variable.
#
# Seen: 7 passed, 5 came back: ["/bin/sh" "-c" "echo; read line" "" "x"]
. "$(dirname "$0")/lib.bash"
gomod github.com/prometheus/procfs@v0.23.0
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os/exec"

	"github.com/prometheus/procfs"
)

func main() {
	cmd := exec.Command("/bin/sh", "-c", "echo; read line", "", "x", "", "")
	out, err := cmd.StdoutPipe()
	if err != nil {
		panic(err)
	}
	in, err := cmd.StdinPipe() // open: the shell waits in read
	if err != nil {
		panic(err)
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	defer cmd.Wait()
	defer in.Close()
	out.Read(make([]byte, 1)) // the shell runs
	proc, err := procfs.NewProc(cmd.Process.Pid)
	if err != nil {
		panic(err)
	}
	got, err := proc.CmdLine()
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d %d %q\n", len(cmd.Args), len(got), got)
}
GO
read -r passed back arguments < <(gorun)
say "CmdLine: $arguments"
claim "arguments that were passed" 7 "$passed"
claim "arguments that came back" 5 "$back"
