package stall

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roleEnv makes the test's program one that waits.
const roleEnv = "BUILDWATCH_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		play(role)
	}
	os.Exit(m.Run())
}

// play waits in one of several ways, and never returns.
func play(role string) {
	runtime.LockOSThread()
	for range 4 {
		go func() {
			runtime.LockOSThread()
			hangFor(0)
		}()
	}
	time.Sleep(50 * time.Millisecond) // until they do
	if role == "parent" {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{roleEnv + "=hang"}
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		_ = cmd.Start()
		defer cmd.Wait()
	}
	fmt.Println("ready")
	switch role {
	case "hang":
		hangFor(0)
	case "hang for an hour":
		hangFor(time.Hour)
	case "sleep":
		time.Sleep(time.Hour)
	case "nanosleep":
		_ = unix.Nanosleep(&unix.Timespec{Sec: 3600}, nil)
	case "timer":
		startTimer()
		hangFor(0)
	}
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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), name)
	if err := os.Link(self, program); err != nil {
		content, err := os.ReadFile(self) // another file system
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program)
	cmd.Env = []string{roleEnv + "=" + role}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}
