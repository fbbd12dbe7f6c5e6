#!/bin/bash
# Debian bookworm: qemu-user-static 1:7.2+dfsg-7+deb12u18+b3 (10.0 and 11.1 do the same)
#
# A program under qemu-user sees itself in /proc/self/exe and /proc/self/cmdline, for qemu answers in the kernel's
# place, and qemu in /proc/thread-self/exe, /proc/./self/exe or /proc/self/task/PID/cmdline: paths are compared as
# text. Of /proc/self/exe itself open(2) and readlink(2) give the program, stat(2) gives qemu: the size
# and inode of a file that is then opened are another file's.
#
# One would have guessed that names of one thing agree, so that os.Stat before os.Open tells of what is
# opened, or that all of /proc is either the guest's view or the host's. What re-executes itself by
# /proc/thread-self/exe, as container runtimes do in threads, executes qemu without a program.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need apt-get dpkg-deb
gomod
(
	cd "$work" && apt-get -q -o APT::Sandbox::User=root download qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 &&
		dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar x ./usr/bin/qemu-aarch64-static
) >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func link(path string) string {
	target, err := os.Readlink(path)
	check(err)
	return filepath.Base(target)
}

func argv0(path string) string {
	text, err := os.ReadFile(path)
	check(err)
	first, _, _ := bytes.Cut(text, []byte{0})
	return filepath.Base(string(first))
}

func main() {
	self, task := "/proc/self/", "/proc/self/task/"+strconv.Itoa(os.Getpid())+"/"
	fmt.Println(link(self+"exe"), link("/proc/"+strconv.Itoa(os.Getpid())+"/exe"), argv0(self+"cmdline"))
	fmt.Println(link("/proc/thread-self/exe"), link("/proc/./self/exe"), argv0(task+"cmdline"))
	byName, err := os.Stat(self + "exe")
	check(err)
	file, err := os.Open(self + "exe")
	check(err)
	opened, err := file.Stat()
	check(err)
	fmt.Println("same:", os.SameFile(byName, opened))
	fmt.Println(opened.Size(), byName.Size())
}
GO
CGO_ENABLED=0 GOARCH=arm64 go build -o "$work/guest" . 2>"$work/log" || unseen "$(cat "$work/log")"
qemu="qemu-aarch64-static"
"$work/usr/bin/$qemu" "$work/guest" >"$work/seen"
{ read -r usual; read -r unusual; read -r same; read -r sizes; } <"$work/seen"
claim "/proc/self/exe, /proc/PID/exe, /proc/self/cmdline" "guest guest guest" "$usual"
claim "/proc/thread-self/exe, /proc/./self/exe, /proc/self/task/PID/cmdline" "$qemu $qemu $qemu" "$unusual"
claim "stat of /proc/self/exe and fstat of the opened file" "same: false" "$same"
claim "their sizes are the program's and qemu's" "$(stat -c %s "$work/guest") $(stat -c %s "$work/usr/bin/$qemu")" "$sizes"
