//go:build integration

package integration

import (
	"fmt"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the processes of a bomb do when there are as many as there are to be.
const (
	bombSleeps = "sleep"
	bombSpins  = "spin"  // each wants a processor for itself
	bombChurns = "churn" // each starts others, which end at once, for ever
	bombRuns   = "run"   // there is one, which starts the next and ends: nobody can get hold of it
)

// processBomb makes processes, each of which makes others, until there are as many
// as it is told. They ignore all signals that can be ignored.
func processBomb(number, then string) error {
	most, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return err
	}
	shared, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return err
	}
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGCHLD)
	fmt.Println("begins")
	if then == bombRuns {
		runAway()
	}
	multiply((*int64)(unsafe.Pointer(&shared[0])), most, then == bombSpins, then == bombChurns)
	return nil
}

// multiply never returns. Its processes have one thread, and Go's run-time does not
// work in them: nothing is called here but the kernel.
func multiply(count *int64, most int64, spins, churns bool) {
	for {
		switch {
		case atomic.AddInt64(count, 1) < most: // the first is not counted
			if _, _, errno := syscall.RawSyscall(unix.SYS_FORK, 0, 0, 0); errno != 0 {
				atomic.AddInt64(count, -1)
			}
			continue
		default:
			atomic.AddInt64(count, -1)
		}
		switch {
		case churns:
			if pid, _, errno := syscall.RawSyscall(unix.SYS_FORK, 0, 0, 0); errno == 0 && pid == 0 {
				syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
		case spins:
			for range 1_000_000 {
				atomic.LoadInt64(count)
			}
		default:
			syscall.RawSyscall(unix.SYS_PAUSE, 0, 0, 0)
		}
	}
}

// runAway never returns.
func runAway() {
	for {
		if pid, _, errno := syscall.RawSyscall(unix.SYS_FORK, 0, 0, 0); errno == 0 && pid != 0 {
			syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
}
