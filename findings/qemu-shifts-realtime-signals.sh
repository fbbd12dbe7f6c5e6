#!/bin/bash
# Debian bookworm: qemu-user-static 1:7.2+dfsg-7+deb12u18+b3, and trixie: qemu-user 1:10.0.13+ds-0+deb13u1 (11.1 is as 10.0)
#
# A real-time signal that is sent to an emulated program from outside arrives under another number: two lower with qemu 7.2,
# four lower with 10.0. SIGRTMIN+3 (37), by which `podman stop` halts a container with systemd in it, is
# SIGRTMIN+1 (35) for the emulated one, and with 10.0 a signal that its C library keeps for itself. The highest
# two (7.2) or four (10.0) can't be sent at all: EINVAL. What the program sends to itself, and SIGTERM, SIGHUP and
# the like from anybody, arrive as they were sent.
#
# One would have guessed that signal 37 is signal 37: its number is the same on both architectures, and a test
# that sends the signal within the emulated program passes.
#
# Why: the lowest real-time signals are taken (by the C library that qemu is linked with, and by qemu), so it begins higher.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need apt-get dpkg-deb
gomod
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	got := make(chan os.Signal, 10)
	signals := []os.Signal{syscall.SIGHUP}
	for n := 35; n <= 64; n++ {
		signals = append(signals, syscall.Signal(n))
	}
	signal.Notify(got, signals...)
	next := func() int {
		select {
		case s := <-got:
			return int(s.(syscall.Signal))
		case <-time.After(30 * time.Second):
			return 0
		}
	}
	for _, n := range []syscall.Signal{40, 64} {
		if err := syscall.Kill(os.Getpid(), n); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(next())
		}
	}
	for range 3 {
		fmt.Println(next())
	}
}
GO
lines() { # lines N: waits for as many in $work/seen
	local _
	for _ in {1..300}; do
		[ "$(wc -l <"$work/seen")" -ge "$1" ] && return
		sleep 0.1
	done
}
outside() { # outside PROGRAM...: what it sends itself (40, 64), then what it gets of HUP, 40 and 50
	local pid n=2 signal
	: >"$work/seen"
	"$@" >"$work/seen" &
	pid=$!
	for signal in HUP 40 50; do
		lines $n
		kill -$signal $pid
		n=$((n + 1))
	done
	wait $pid
	paste -sd , "$work/seen"
}
CGO_ENABLED=0 go build -o "$work/native" . 2>"$work/log" || unseen "$(cat "$work/log")"
CGO_ENABLED=0 GOARCH=arm64 go build -o "$work/guest" . 2>"$work/log" || unseen "$(cat "$work/log")"
(
	cd "$work" && apt-get -q -o APT::Sandbox::User=root download qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 &&
		dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar x ./usr/bin/qemu-aarch64-static
) >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
claim "40 and 64 sent by itself; HUP, 40 and 50 by others; not emulated" "40,64,1,40,50" "$(outside "$work/native")"
claim "the same with qemu 7.2" "40,invalid argument,1,38,48" "$(outside "$work/usr/bin/qemu-aarch64-static" "$work/guest")"
unpack trixie qemu-user=1:10.0.13+ds-0+deb13u1
claim "the same with qemu 10.0" "40,invalid argument,1,36,46" "$(outside "$root/usr/bin/qemu-aarch64" "$work/guest")"
