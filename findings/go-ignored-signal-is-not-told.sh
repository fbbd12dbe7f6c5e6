#!/bin/bash
# Go 1.26, os/signal; Linux 6.18
#
# Reset does not undo Ignore: a signal that was ignored for a while is ignored for ever, here and in what is
# executed. Notify and Stop after Ignore do undo it for SIGTERM, and for SIGHUP and SIGINT not: the
# kernel drops these again, while Ignored says false. It is the same in a program that nohup has
# started: once somebody has had a channel for SIGHUP, Ignored denies what the kernel does.
#
# One would have guessed that Reset gives the default action back, that Ignored ("reports whether sig is currently
# ignored") agrees with SigIgn in /proc/self/status, and that all signals have one rule. A program that asks Ignored
# before it takes SIGHUP, to heed nohup, heeds it once.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
stated_kernel 6.18
gomod
say "with $(go version)"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

// kernel reports whether the kernel drops the signal.
func kernel(s syscall.Signal) bool {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nSigIgn:\t")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(line, 16, 64)
	if err != nil {
		panic(err)
	}
	return mask&(1<<(s-1)) != 0
}

func main() {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if os.Args[1] == "reset" {
			signal.Ignore(s)
			signal.Reset(s)
		} else {
			if os.Args[1] == "stop" {
				signal.Ignore(s)
			}
			c := make(chan os.Signal, 1)
			signal.Notify(c, s)
			signal.Stop(c)
		}
		fmt.Printf("%v/%v ", signal.Ignored(s), kernel(s))
	}
	fmt.Println()
}
GO
gorun reset >"$work/seen"
# The shell that ran this script may have ignored some itself.
default() { env --default-signal=TERM,INT,HUP "$work/go/prog" "$@" | sed 's/ $//'; }
claim "SIGTERM, SIGINT, SIGHUP after Ignore and Reset: Ignored/in the kernel" "true/true true/true true/true" "$(default reset)"
claim "after Ignore, Notify and Stop" "false/false false/true false/true" "$(default stop)"
claim "after Notify and Stop, all three inherited as ignored" "false/false false/true false/true" \
	"$(env --ignore-signal=TERM,INT,HUP "$work/go/prog" inherited | sed 's/ $//')"
