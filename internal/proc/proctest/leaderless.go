package proctest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// leaderless is the role of a process whose first thread has ended and others have not.
const leaderless = "leaderless"

// The first thread can end only while it runs main, which it does for good from here.
func init() {
	if os.Getenv(roleEnv) == leaderless {
		runtime.LockOSThread()
	}
}

// Leaderless starts a process whose first thread has ended: the kernel calls it a
// zombie, while it works on. The test's program must call Roles.Play.
func Leaderless(t testing.TB, change ...func(*exec.Cmd)) *Child {
	t.Helper()
	cmd := InRole(Self(t), leaderless)
	for _, f := range change {
		f(cmd)
	}
	c := Start(t, cmd)
	c.Ready(t)
	return c
}

// LoseLeader ends the process's first thread, which must be the caller's, and has
// the process go on: it calls then, and lives until that returns.
func LoseLeader(then func()) error {
	if unix.Gettid() != unix.Getpid() {
		return errors.New("this is not the first thread")
	}
	go func() {
		for {
			stat, err := os.ReadFile("/proc/self/stat")
			if end := bytes.LastIndexByte(stat, ')'); err == nil && end > 0 && bytes.HasPrefix(stat[end:], []byte(") Z")) {
				break
			}
			time.Sleep(time.Millisecond)
		}
		then()
		os.Exit(0)
	}()
	_, _, errno := unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	return errno
}
