#!/bin/bash
# Go 1.26, os/exec; Linux 6.18
#
# Wait of exec.CommandContext returns context.Canceled for a program that has exited with 0, if the context ends
# between its exit and the call of Wait, however long ago it exited: the signal to a process that is not
# reaped yet succeeds, so "it has ended already" is never seen. ProcessState.Success() is true beside it.
#
# One would have guessed that a finished program can't be cancelled any more: the package has a case for it
# (os.ErrProcessDone, "don't inject a needless error"). Who reads all of StdoutPipe, and has
# cancelled since because that was all that was wanted, takes a good run for a failure.
#
# Seen: "context canceled, exit status 0"; without the cancellation "<nil>, exit status 0".
. "$(dirname "$0")/lib.bash"
stated_kernel 6.18
gomod
say "with $(go version)"
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// exited waits until the process is a zombie.
func exited(pid int) {
	for {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		check(err)
		if _, rest, _ := strings.Cut(string(stat), ") "); rest[0] == 'Z' {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func main() {
	for _, cancelled := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		cmd := exec.CommandContext(ctx, "echo", "all that was wanted")
		asked := make(chan struct{})
		kill := cmd.Cancel
		cmd.Cancel = func() error { defer close(asked); return kill() }
		out, err := cmd.StdoutPipe()
		check(err)
		check(cmd.Start())
		_, err = io.ReadAll(out)
		check(err)
		exited(cmd.Process.Pid)
		if cancelled {
			cancel()
			<-asked
		}
		err = cmd.Wait()
		cancel()
		fmt.Printf("%v, %v\n", err, cmd.ProcessState)
	}
}
GO
gorun >"$work/seen"
{ read -r plain; read -r cancelled; } <"$work/seen"
claim "Wait and the state of an exited program" "<nil>, exit status 0" "$plain"
claim "if the context was cancelled after its exit" "context canceled, exit status 0" "$cancelled"
