package wrapper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ignoreSignals gives signals the disposition SIG_IGN, which execve(2) keeps.
// os/signal would start a goroutine, and bring its start-up time to every call.
func ignoreSignals(set uint64) {
	// struct sigaction as the kernel has it; SIG_IGN is handler 1.
	action := [4]uintptr{1, 0, 0, 0}
	for signal := uintptr(1); signal <= 64; signal++ {
		if set&(1<<(signal-1)) != 0 {
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
		}
	}
}
