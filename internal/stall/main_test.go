package stall

import (
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

func TestMain(m *testing.M) {
	roles := make(proctest.Roles)
	for role, wait := range map[string]func(){
		"hang":             func() { hangFor(0) },
		"hang for an hour": func() { hangFor(time.Hour) },
		"sleep":            func() { time.Sleep(time.Hour) },
		"nanosleep":        func() { _ = unix.Nanosleep(&unix.Timespec{Sec: 3600}, nil) },
		"timer": func() {
			startTimer()
			hangFor(0)
		},
	} {
		roles[role] = func([]string) error {
			hangAside()
			proctest.Ready()
			wait()
			return nil
		}
	}
	roles["parent"] = func([]string) error {
		hangAside()
		cmd := proctest.InRole("/proc/self/exe", "hang")
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
		proctest.Ready()
		return cmd.Wait()
	}
	roles.Play()
	os.Exit(m.Run())
}

// hangAside makes four threads that hang, or are about to.
func hangAside() {
	runtime.LockOSThread()
	var begun sync.WaitGroup
	for range 4 {
		begun.Add(1)
		go func() {
			runtime.LockOSThread()
			begun.Done()
			hangFor(0)
		}()
	}
	begun.Wait()
}

// hangFor waits in a futex, for ever or for a time.
func hangFor(d time.Duration) {
	var timeout *unix.Timespec
	if d > 0 {
		span := unix.NsecToTimespec(d.Nanoseconds())
		timeout = &span
	}
	word := new(uint32)
	for {
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait|futexPrivate, 0, uintptr(unsafe.Pointer(timeout)), 0, 0)
	}
}

// startTimer makes a POSIX timer that will send a signal.
func startTimer() {
	var id int32
	_, _, _ = unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&id)))
	spec := unix.ItimerSpec{Value: unix.Timespec{Sec: 3600}}
	_, _, _ = unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(id), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

// startAs starts a process that waits, under a program's name: one that is called as
// qemu's counts as emulated.
func startAs(t testing.TB, name, role string) int {
	t.Helper()
	program := proctest.Copy(t, proctest.Self(t), name)
	p := proctest.Start(t, proctest.InRole(program, role))
	p.Ready(t)
	return p.Process.Pid
}
