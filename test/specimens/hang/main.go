// Command hang is the specimen of a hung emulated Go program (QEMU #2738): every
// one of its threads waits in a futex that nobody will ever wake. It is built for
// another architecture and runs as a RUN step of a test's build.
//
// The Go runtime's own monitor thread can't be made to hang from Go: it waits in a
// futex too, but wakes once a minute. QEMU's own hang holds it as well. Linked
// with -E main.hang, the program hangs before it has a runtime, see hang_arm64.s.
package main

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// threads is how many wait, beside the main one.
const threads = 4

// FUTEX_WAIT.
//
// Source: linux, include/uapi/linux/futex.h.
const futexWait = 0

func main() {
	for range threads {
		go wait(new(uint32))
	}
	time.Sleep(100 * time.Millisecond) // until they do
	wait(new(uint32))
}

func wait(word *uint32) {
	runtime.LockOSThread()
	for {
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, 0, 0, 0, 0)
	}
}
