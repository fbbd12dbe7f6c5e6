package survivors

import (
	"context"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

func TestMain(m *testing.M) {
	proctest.Roles{}.Play()
	// What the tests were started with is no child's: it may lie where they look.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	os.Exit(m.Run())
}

// TestLookAtAProcessWhoseFirstThreadIsAZombie: what it waits for, its other threads
// say.
func TestLookAtAProcessWhoseFirstThreadIsAZombie(t *testing.T) {
	e, err := New(true, proc.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	pid := proctest.Leaderless(t).Process.Pid
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		leader, err := proc.Look(pid)
		found := e.Open(0).Look(context.Background(), Remains{PIDs: []int{pid}}).Processes[pid]
		if err == nil && leader.State == "Z" && found.State == "S" && found.WChan != "" {
			return // which of its threads is shown is open: none waits deeper than another
		}
		if time.Now().After(deadline) {
			t.Fatalf("the first thread is %+v, %v; the process %+v", leader, err, found)
		}
	}
}

// TestUserOfAMountWhoseFirstThreadHasEnded: its files are in use, and it is not on its
// way out.
func TestUserOfAMountWhoseFirstThreadHasEnded(t *testing.T) {
	e, err := New(true, proc.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	pid := proctest.Leaderless(t).Process.Pid
	all, err := e.processes()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(p process) bool { return p.PID == pid })
	if i < 0 {
		t.Fatal("the process is not there")
	}
	p := all[i]
	files, err := os.ReadDir(p.file("fdinfo"))
	if err != nil || len(files) < 3 {
		t.Errorf("it has %d files, %v", len(files), err)
	}
	exe, err := p.Executable()
	if err != nil || exe != proctest.Self(t) || p.exiting || p.state == "Z" || p.namespace != proc.Namespace(os.Getpid(), "mnt") {
		t.Errorf("looked at as %+v, running %q, %v", p, exe, err)
	}
}
