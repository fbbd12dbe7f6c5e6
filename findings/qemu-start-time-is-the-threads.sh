#!/bin/bash
# Debian trixie: qemu-user 1:10.0.13+ds-0+deb13u1 (7.2 and 11.1 do the same)
#
# An emulated program that reads its own /proc/self/stat reads what qemu makes up. Its start time is that of the thread that
# opens the file: another one in each thread. Its CPU time is 0 for ever. /proc/PID/stat by the program's own PID is the
# same; by any other process' it is the kernel's.
#
# One would have guessed that PID and start time name a process, whoever asks: a lock file or a record of "who am I", made in
# one thread and checked in another (in Go or Java nobody chooses the thread), says that its owner has ended and the
# PID was used again. And that what a program reads of its CPU time agrees with getrusage(2).
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
unpack trixie qemu-user=1:10.0.13+ds-0+deb13u1
gomod
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stat is the fields of /proc/self/stat, as numbered in proc(5), from the third one on.
func stat() []string {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return append(make([]string, 3), strings.Fields(rest)...)
}

func main() {
	runtime.LockOSThread()
	began := stat()
	var used syscall.Rusage
	for used.Utime.Sec < 1 {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			panic(err)
		}
	}
	here, there := stat(), make(chan []string)
	go func() {
		runtime.LockOSThread() // the first one is taken: a thread that was started before, or now
		time.Sleep(100 * time.Millisecond)
		there <- stat()
	}()
	other := <-there
	fmt.Println("same start time:", began[22] == here[22], began[22] == other[22], "no CPU time:", here[14]+here[15] == "00")
}
GO
CGO_ENABLED=0 go build -o "$work/native" . 2>"$work/log" || unseen "$(cat "$work/log")"
CGO_ENABLED=0 GOARCH=arm64 go build -o "$work/guest" . 2>"$work/log" || unseen "$(cat "$work/log")"
claim "in the same thread, in another one; after a second of CPU time, not emulated" \
	"same start time: true true no CPU time: false" "$("$work/native")"
claim "emulated" "same start time: true false no CPU time: true" "$("$root/usr/bin/qemu-aarch64" "$work/guest")"
