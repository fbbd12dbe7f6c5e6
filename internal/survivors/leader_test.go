package survivors

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// fifoEnv makes the test's program a process whose first thread ends, and another of
// which reads a FIFO.
const fifoEnv = "BUILDWATCH_TEST_FIFO"

func init() {
	if os.Getenv(fifoEnv) != "" {
		runtime.LockOSThread() // main is the first thread then
	}
}

func TestMain(m *testing.M) {
	if fifo := os.Getenv(fifoEnv); fifo != "" {
		go func() {
			fd, err := unix.Open(fifo, unix.O_RDONLY, 0)
			if err == nil {
				_, err = unix.Read(fd, make([]byte, 1))
			}
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}()
		time.Sleep(100 * time.Millisecond) // it has its thread by then, or gets another
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
	os.Exit(m.Run())
}

// TestLookAtAProcessWhoseFirstThreadIsAZombie: what it waits for, its other threads
// say.
func TestLookAtAProcessWhoseFirstThreadIsAZombie(t *testing.T) {
	fifo := emptyFIFO(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fifoEnv+"="+fifo)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	e, err := New(OfUser, proc.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		leader, err := proc.Look(cmd.Process.Pid)
		found := e.Open(0).Look(context.Background(), Remains{PIDs: []int{cmd.Process.Pid}}).Processes[cmd.Process.Pid]
		if err == nil && leader.State == "Z" && found.State == "S" && found.WChan != "" {
			return // which of its threads is shown is open: none waits deeper than another
		}
		if time.Now().After(deadline) {
			t.Fatalf("the first thread is %+v, %v; the process %+v", leader, err, found)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
