package proc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Syscall is the system call that a thread sleeps in. Number and arguments are
// those of the host, under emulation too.
type Syscall struct {
	Number int // -1: it sleeps in the kernel, but in no call (a page fault, say)
	Args   [6]uint64
}

// ErrRunning is returned for a thread that does not sleep.
var ErrRunning = errors.New("the thread does not sleep")

// maxSyscall is how much of /proc/PID/task/TID/syscall is read: a number and
// eight words in hexadecimal.
const maxSyscall = 256

// SyscallOf reads which system call a thread sleeps in. It asks for the right to
// trace the process (CAP_SYS_PTRACE), and waits while the process is executing
// another program: a caller must be able to leave it behind.
//
// Source: linux, fs/proc/base.c, proc_pid_syscall and lock_trace: exec_update_lock.
func SyscallOf(pid, tid int) (Syscall, error) {
	content, err := readLimited("/proc/"+strconv.Itoa(pid)+"/task/"+strconv.Itoa(tid)+"/syscall", maxSyscall)
	if err != nil {
		return Syscall{}, err
	}
	return parseSyscall(string(content))
}

// parseSyscall takes apart what proc_pid_syscall(5) describes.
func parseSyscall(line string) (Syscall, error) {
	fields := strings.Fields(line)
	if len(fields) == 1 && fields[0] == "running" {
		return Syscall{}, ErrRunning
	}
	if len(fields) == 3 && fields[0] == "-1" {
		return Syscall{Number: -1}, nil
	}
	call := Syscall{}
	if len(fields) != 1+len(call.Args)+2 { // and the stack's pointer, and the program's
		return Syscall{}, fmt.Errorf("%q is no line of /proc/PID/syscall", line)
	}
	var err error
	if call.Number, err = strconv.Atoi(fields[0]); err != nil {
		return Syscall{}, fmt.Errorf("number of a system call: %w", err)
	}
	for i := range call.Args {
		if call.Args[i], err = strconv.ParseUint(strings.TrimPrefix(fields[1+i], "0x"), 16, 64); err != nil {
			return Syscall{}, fmt.Errorf("argument of a system call: %w", err)
		}
	}
	return call, nil
}

// timespecSize is the size of a struct timespec of 64 bits.
const timespecSize = 16

// TimespecAt reads a time span from the memory of a process: an argument of a system
// call that one of its threads sleeps in. The page may be one that a user can make
// the kernel wait for (CVE-2018-1120): a caller must be able to leave it behind.
func TimespecAt(pid int, address uint64) (time.Duration, error) {
	file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/mem")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	span := make([]byte, timespecSize)
	if _, err := file.ReadAt(span, int64(address)); err != nil {
		return 0, err
	}
	return parseTimespec(span)
}

func parseTimespec(span []byte) (time.Duration, error) {
	sec, nsec := int64(binary.NativeEndian.Uint64(span)), int64(binary.NativeEndian.Uint64(span[8:]))
	const most = int64(1<<63-1) / int64(time.Second)
	if sec < 0 || sec >= most || nsec < 0 || nsec >= int64(time.Second) {
		return 0, fmt.Errorf("%d seconds and %d nanoseconds are no time span", sec, nsec)
	}
	return time.Duration(sec)*time.Second + time.Duration(nsec), nil
}
