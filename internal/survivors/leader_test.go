package survivors

import (
	"context"
	"math"
	"os"
	"slices"
	"testing"

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
	t.Parallel()
	e, err := New(true, proc.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	pid := proctest.Leaderless(t).Process.Pid
	// Which of its threads is shown is open: none waits deeper than another.
	proctest.Eventually(t, "the first thread is a zombie, and the process waits", func() bool {
		leader, err := proc.Look(pid)
		found := e.Open(0).Look(context.Background(), Remains{PIDs: []int{pid}}).Processes[pid]
		return err == nil && leader.State == "Z" && found.State == "S" && found.WChan != ""
	})
}

// TestUserOfAMountWhoseFirstThreadHasEnded: its files are in use, and it is not on its
// way out.
func TestUserOfAMountWhoseFirstThreadHasEnded(t *testing.T) {
	t.Parallel()
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
