#!/bin/bash
# Debian bookworm: systemd 252.39-1~deb12u2, and trixie: systemd 257.13-1~deb13u1; Linux 6.18
#
# `systemctl kill --signal=KILL` of a unit (KillUnit) with a process whose main thread has exited, while another thread
# works, ends it with systemd 252 and not with 257, where the call succeeds and the process runs on: 257
# writes cgroup.kill, which spares such a process, where 252 sent the signal to each PID that it found.
# `systemctl stop` of the same unit ends it with both. The unit is a scope: where a service's main process
# dies of the kill, the stop that follows ends the others.
#
# One would have guessed that SIGKILL by systemd is the surer way the newer it is, and that kill with SIGKILL
# is what stop comes to in the end.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
stated_kernel 6.18
gomod
cat >main.go <<'GO'
package main

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

func init() { runtime.LockOSThread() } // main runs in the process's main thread

func main() {
	go func() {
		time.Sleep(300 * time.Millisecond)
		os.WriteFile("/run/leader-gone", nil, 0o644)
		time.Sleep(10 * time.Minute)
	}()
	syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0) // ends this thread only
}
GO
CGO_ENABLED=0 go build -o "$work/leader" . 2>"$work/log" || unseen "$(cat "$work/log")"
try() { # what is left of a unit's processes by kill, then by stop
	insh 'cat >/run/leader; chmod +x /run/leader' <"$work/leader"
	insh 'systemd-run -q --scope -u findings -p TimeoutStopSec=5 sh -c "/run/leader & wait; sleep 600" >/dev/null 2>&1 &
		until [ -e /run/leader-gone ]; do sleep 0.1; done
		pid=$(grep -l "^Name:.leader" /proc/[0-9]*/status | cut -d/ -f3)
		state() { sed "s/.*) \(.\) .*/\1/" /proc/$pid/stat 2>/dev/null || echo gone; }
		before=$(state)
		systemctl kill --signal=KILL findings.scope; status=$?
		sleep 2
		killed=$(state)
		systemctl stop findings.scope 2>/dev/null
		sleep 1
		echo "$before kill $status $killed stop $(state)"'
}
root "${BOOKWORM[@]}"
boot
claim "systemd 252: state; status of kill, state after it; state after stop" "Z kill 0 gone stop gone" "$(try)"
root "${TRIXIE[@]}"
boot
claim "systemd 257: state; status of kill, state after it; state after stop" "Z kill 0 Z stop gone" "$(try)"
