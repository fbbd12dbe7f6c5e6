package proc

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestSyscallIsTheThreads: what a thread of this very process sleeps in, and for how
// long.
func TestSyscallIsTheThreads(t *testing.T) {
	span := unix.Timespec{Sec: 2, Nsec: 5}
	tid := make(chan int)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		tid <- unix.Gettid()
		_ = unix.Nanosleep(&span, nil)
	}()
	thread := <-tid
	var call Syscall
	var err error
	proctest.Eventually(t, "the thread sleeps", func() bool {
		call, err = SyscallOf(os.Getpid(), thread)
		return err == nil && call.Number == unix.SYS_NANOSLEEP
	})
	address := uint64(uintptr(unsafe.Pointer(&span)))
	if err != nil || call.Number != unix.SYS_NANOSLEEP || call.Args[0] != address || call.Args[1] != 0 {
		t.Fatalf("it sleeps in %+v, %v; want nanosleep(%#x, 0)", call, err, address)
	}
	if got, err := TimespecAt(os.Getpid(), call.Args[0]); err != nil || got != 2*time.Second+5 {
		t.Errorf("for %v, %v", got, err)
	}
	if _, err := TimespecAt(os.Getpid(), 1); err == nil {
		t.Error("there is something at address 1")
	}
	if _, err := SyscallOf(os.Getpid(), 1<<30); err == nil {
		t.Error("a thread that is not there sleeps")
	}
	<-done
}

func TestParseSyscall(t *testing.T) {
	for _, row := range []struct {
		line string
		want Syscall
		err  bool
	}{
		{"202 0x170178 0x80 0x0 0x7effb8053bd0 0x0 0xffffffff 0x7effab6fbbb0 0x7effb8f7502a\n", Syscall{202, [6]uint64{0x170178, 0x80, 0, 0x7effb8053bd0, 0, 0xffffffff}}, false},
		{"-1 0x7ffd9295b510 0x7f2fcff9102a\n", Syscall{Number: -1}, false},
		{"running\n", Syscall{}, true},
		{"", Syscall{}, true},
		{"202 0x0\n", Syscall{}, true},
		{"x 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", Syscall{}, true},
		{"202 0x0 0x0 zero 0x0 0x0 0x0 0x0 0x0\n", Syscall{}, true},
		{"202 0x0 0x0 0x10000000000000000 0x0 0x0 0x0 0x0 0x0\n", Syscall{}, true},
	} {
		got, err := parseSyscall(row.line)
		if (err != nil) != row.err || err == nil && got != row.want {
			t.Errorf("%q: %+v, %v", row.line, got, err)
		}
	}
	if _, err := parseSyscall("running\n"); !errors.Is(err, ErrRunning) {
		t.Errorf("running: %v", err)
	}
}

// FuzzParseSyscall: whatever a kernel says, it is a call or an error.
func FuzzParseSyscall(f *testing.F) {
	f.Add("202 0x170178 0x80 0x0 0x0 0x0 0x0 0x7effab6fbbb0 0x7effb8f7502a\n")
	f.Add("-1 0x0 0x0")
	f.Add("running")
	f.Fuzz(func(t *testing.T, line string) {
		call, err := parseSyscall(line)
		if err == nil && call.Number != -1 && len(strings.Fields(line)) != 9 {
			t.Errorf("%q is %+v", line, call)
		}
	})
}

func TestParseTimespec(t *testing.T) {
	words := func(sec, nsec int64) []byte {
		pair := [2]int64{sec, nsec}
		return unsafe.Slice((*byte)(unsafe.Pointer(&pair)), timespecSize)
	}
	for _, row := range []struct {
		sec, nsec int64
		want      time.Duration // -1: none
	}{
		{60, 0, time.Minute}, {0, 1, 1}, {0, 0, 0},
		{-1, 0, -1}, {0, -1, -1}, {0, 1e9, -1}, {1 << 62, 0, -1}, {9223372036, 999999999, -1}, {9223372035, 0, 9223372035 * time.Second},
	} {
		got, err := parseTimespec(words(row.sec, row.nsec))
		if (err != nil) != (row.want < 0) || err == nil && got != row.want {
			t.Errorf("%d s and %d ns: %v, %v", row.sec, row.nsec, got, err)
		}
	}
}
