#!/bin/bash
# Linux 6.18 (cgroup v2, pidfs) with Go 1.26; golang.org/x/sys v0.49.0
#
# os.Open of a cgroup's cgroup.events, a regular file by stat(2), puts the file into Go's poller, and
# takes deadlines. RawConn.Read on it, with a callback that returns false until it saw what it
# waits for, sleeps until the kernel changes the file and calls back at each change: no inotify,
# no thread in poll(2). A pidfd, opened with PIDFD_NONBLOCK and passed to os.NewFile, works too,
# and wakes a waiter twice: when the process ends, and again when its parent has reaped it.
#
# One would have guessed that os.Open'ed regular files are never pollable (ErrNoDeadline is what /etc/passwd
# and /proc/self/stat say), that a file which is always readable would make the callback spin,
# and that a pidfd becomes readable once.
#
# Why: kernfs files have a poll operation that says "readable" always and wakes on a change; Go
# registers edge-triggered, so each wake-up is an edge. pidfd: POLLIN first, POLLHUP joins it.
#
# Seen: cgroup.events: calls at once (populated 1) and at 500 ms, as the only process is killed
# (populated 0), then the deadline. pidfd: at 0, 500 (exit) and 900 ms (wait).
. "$(dirname "$0")/lib.bash"
stated_kernel 6.18
cgroup
gomod golang.org/x/sys@v0.49.0
say "$(go version)"
cat >main.go <<'GO'
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func takesDeadline(path string) bool {
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	return file.SetReadDeadline(time.Now()) == nil
}

func sleeper() *exec.Cmd {
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(cmd.Start())
	return cmd
}

// wait returns what the callback saw until the deadline, and whether it was called a few
// times only. What was ready as the file was opened may cause one call more.
func wait(file *os.File, what string, look func(fd int) string) string {
	conn, err := file.SyscallConn()
	check(err)
	var seen []string
	calls, begin := 0, time.Now()
	check(file.SetReadDeadline(begin.Add(3 * time.Second)))
	err = conn.Read(func(fd uintptr) bool {
		calls++
		now := look(int(fd))
		fmt.Fprintf(os.Stderr, "%s: call %d after %v: %s\n", what, calls, time.Since(begin).Round(time.Millisecond), now)
		if len(seen) == 0 || seen[len(seen)-1] != now {
			seen = append(seen, now)
		}
		return calls == 100
	})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		check(fmt.Errorf("%s: %v", what, err))
	}
	return fmt.Sprintf("%s; spins: %t", strings.Join(seen, ", "), calls > 6)
}

func main() {
	dir := os.Args[1]
	fmt.Println(takesDeadline(dir+"/cgroup.events"), takesDeadline("/etc/passwd"), takesDeadline("/proc/self/stat"))

	cmd := sleeper()
	check(os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0))
	events, err := os.Open(dir + "/cgroup.events")
	check(err)
	go func() {
		time.Sleep(500 * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}()
	fmt.Println(wait(events, "cgroup.events", func(fd int) string {
		text := make([]byte, 100)
		n, _ := unix.Pread(fd, text, 0)
		first, _, _ := bytes.Cut(text[:n], []byte("\n"))
		return string(first)
	}))

	cmd = sleeper()
	fd, err := unix.PidfdOpen(cmd.Process.Pid, unix.PIDFD_NONBLOCK)
	check(err)
	go func() {
		time.Sleep(500 * time.Millisecond)
		cmd.Process.Kill()
		time.Sleep(400 * time.Millisecond)
		cmd.Wait()
	}()
	fmt.Println(wait(os.NewFile(uintptr(fd), "pidfd"), "pidfd", func(fd int) string {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		unix.Poll(poll, 0)
		return fmt.Sprintf("%#x", poll[0].Revents)
	}))
}
GO
{ read -r deadlines; read -r events; read -r pidfd; } < <(gorun "$cg")
claim "takes a read deadline: cgroup.events, /etc/passwd, /proc/self/stat" "true false false" "$deadlines"
claim "seen of cgroup.events" "populated 1, populated 0; spins: false" "$events"
claim "seen of the pidfd: running, ended (POLLIN), reaped (POLLIN, POLLHUP)" "0x0, 0x1, 0x11; spins: false" "$pidfd"
