package stall

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

const aarch64 = "aarch64"

// TestHung is the table of what hangs, and what does not.
func TestHung(t *testing.T) {
	emulated := func(pid, ppid int, threads ...Wait) Process {
		return Process{PID: pid, PPID: ppid, Arch: aarch64, Threads: threads}
	}
	native := func(pid, ppid int, threads ...Wait) Process { return Process{PID: pid, PPID: ppid, Threads: threads} }
	for _, row := range []struct {
		name  string
		build []Process
		hung  []int // PIDs
	}{
		{"one thread", []Process{emulated(2, 1, Futex)}, []int{2}},
		{"all threads", []Process{emulated(2, 1, Futex, Futex, Futex)}, []int{2}},
		{"with a Go program's monitor", []Process{emulated(2, 1, Futex, Futex, Monitor)}, []int{2}},
		{"several", []Process{emulated(2, 1, Futex), emulated(3, 1, Futex)}, []int{2, 3}},
		{"a parent that waits", []Process{emulated(2, 1, Child, Futex), emulated(3, 2, Futex, Futex)}, []int{3}},
		{"a native parent", []Process{native(2, 1, Child), emulated(3, 2, Futex)}, []int{3}},
		{"a Go program for a parent", []Process{emulated(2, 1, Child, Futex, Monitor), emulated(3, 2, Futex)}, []int{3}},
		{"a native Go program for a parent", []Process{native(2, 1, Child, Futex, Monitor), emulated(3, 2, Futex)}, []int{3}},
		{"grandparents", []Process{emulated(2, 1, Child), emulated(3, 2, Child), emulated(4, 3, Futex)}, []int{4}},
		{"a child that nobody has reaped", []Process{emulated(2, 1, Futex), emulated(3, 2, Ended)}, []int{2}},
		{"a leader that has ended", []Process{emulated(2, 1, Ended, Futex)}, []int{2}},

		{"nothing", nil, nil},
		{"one thread goes on", []Process{emulated(2, 1, Futex, Futex, MayGoOn)}, nil},
		{"another process goes on", []Process{emulated(2, 1, Futex), emulated(3, 1, MayGoOn)}, nil},
		{"the parent goes on", []Process{emulated(2, 1, MayGoOn), emulated(3, 2, Futex)}, nil},
		{"a child goes on", []Process{emulated(2, 1, Child), emulated(3, 2, Futex), emulated(4, 2, MayGoOn)}, nil},
		{"a child that is not the build's", []Process{emulated(2, 1, Child), emulated(3, 1, Futex)}, nil},
		{"all children have ended", []Process{emulated(2, 1, Child), emulated(3, 2, Ended)}, nil},
		{"a native program", []Process{native(2, 1, Futex, Futex)}, nil},
		{"a native Go program", []Process{native(2, 1, Futex, Futex, Monitor)}, nil},
		{"a native program beside", []Process{emulated(2, 1, Futex), native(3, 1, Futex)}, nil},
		{"two that wait for a minute", []Process{emulated(2, 1, Futex, Monitor, Monitor)}, nil},
		{"one that waits for a minute, alone", []Process{emulated(2, 1, Monitor)}, nil},
		{"no thread is left", []Process{emulated(2, 1)}, nil},
		{"only what has ended", []Process{emulated(2, 1, Ended)}, nil},
	} {
		var pids []int
		for _, p := range hung(row.build) {
			pids = append(pids, p.PID)
		}
		if !slices.Equal(pids, row.hung) {
			t.Errorf("%s: %v hang, want %v", row.name, pids, row.hung)
		}
	}
}

// TestWaitOf: which system calls are waits that hang.
func TestWaitOf(t *testing.T) {
	const untimed, timed, junk = 0, 0x7effb8053bd0, 0xdeadbeef00000000
	for _, row := range []struct {
		name string
		call proc.Syscall
		want Wait
	}{
		{"FUTEX_WAIT", futex(futexWait, 0, untimed), Futex},
		{"private", futex(futexWait|futexPrivate, 2, untimed), Futex},
		{"FUTEX_WAIT_BITSET", futex(futexWaitBitset|futexPrivate|futexRealtime, 0, untimed), Futex},
		{"with rubbish in the upper half", futex(futexWait|junk, 0, untimed), Futex},
		{"qemu's own thread", futex(futexWait, 0xffffffff, untimed), Futex},
		{"perhaps Go's monitor", futex(futexWait|futexPrivate, 0, timed), Monitor},
		{"the same, rubbish in the upper halves", futex(futexWait|futexPrivate|junk, junk, timed), Monitor},
		{"with a timeout, not private", futex(futexWait, 0, timed), MayGoOn},
		{"with a timeout, for another value", futex(futexWait|futexPrivate, 2, timed), MayGoOn},
		{"until a time", futex(futexWaitBitset|futexPrivate, 0, timed), MayGoOn},
		{"FUTEX_LOCK_PI", futex(6, 0, untimed), MayGoOn},
		{"FUTEX_WAIT_REQUEUE_PI", futex(11, 0, untimed), MayGoOn},
		{"a child", proc.Syscall{Number: unix.SYS_WAIT4}, Child},
		{"a child, otherwise", proc.Syscall{Number: unix.SYS_WAITID}, Child},
		{"a pause", proc.Syscall{Number: unix.SYS_NANOSLEEP}, MayGoOn},
		{"something to read", proc.Syscall{Number: unix.SYS_READ}, MayGoOn},
		{"a signal", proc.Syscall{Number: unix.SYS_RT_SIGSUSPEND}, MayGoOn},
		{"a call that was interrupted", proc.Syscall{Number: unix.SYS_RESTART_SYSCALL}, MayGoOn},
		{"no call", proc.Syscall{Number: -1}, MayGoOn},
	} {
		if got := waitOf(row.call); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

func futex(op, value, timeout uint64) proc.Syscall {
	return proc.Syscall{Number: unix.SYS_FUTEX, Args: [6]uint64{0x170178, op, value, timeout}}
}
