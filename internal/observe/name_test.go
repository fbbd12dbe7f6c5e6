package observe

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// slowReader hangs for one process, until gate is closed.
type slowReader struct {
	hangs int
	gate  chan struct{}
	asked chan int
}

func (r *slowReader) Args(_ context.Context, h *proc.Handle) ([]string, error) {
	r.asked <- h.PID
	if h.PID == r.hangs {
		<-r.gate
	}
	return []string{"called", "so"}, nil
}

// TestProcessWhoseNameHangsHoldsUpNoLook: it is not waited for a second time, not asked
// twice, and taken when it comes.
func TestProcessWhoseNameHangsHoldsUpNoLook(t *testing.T) {
	start := func() proc.Identity {
		t.Helper()
		cmd := exec.Command("/bin/sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		h, err := proc.Open(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		return h.Identity
	}
	hostile, honest := start(), start()
	r := &slowReader{hangs: hostile.PID, gate: make(chan struct{}), asked: make(chan int, 100)}
	late := make(chan struct{}, 1)
	n := newNames(r, func() { late <- struct{}{} })
	n.ask(hostile, 0)
	n.ask(honest, 0)
	n.wait(100 * time.Millisecond)
	for range 50 {
		n.ask(hostile, 0) // as each look does
		n.wait(time.Hour)
	}
	if args, ok := n.take(honest); !ok || !slices.Equal(args, []string{"called", "so"}) {
		t.Errorf("the other's name is %q, %v", args, ok)
	}
	if _, ok := n.take(hostile); ok {
		t.Error("a name that has not come is known")
	}
	n.tidy()
	close(r.gate)
	<-late
	if args, ok := n.take(hostile); !ok || args[0] != "called" {
		t.Errorf("what came late is %q, %v", args, ok)
	}
	if len(r.asked) != 2 || len(n.asked) != 0 {
		t.Errorf("%d processes were asked, %d are remembered", len(r.asked), len(n.asked))
	}
}

func TestNameOfAProcessThatEndedIsNotKept(t *testing.T) {
	n := newNames(proc.NewReader(), func() {})
	n.ask(proc.Identity{PID: os.Getpid(), Start: 1}, 0) // the PID's earlier owner
	n.wait(10 * time.Second)
	if _, ok := n.take(proc.Identity{PID: os.Getpid(), Start: 1}); ok {
		t.Error("it has a name")
	}
	n.ask(proc.Identity{PID: 1 << 30}, 0)
	n.wait(10 * time.Second)
	n.tidy()
	if len(n.asked) != 0 {
		t.Errorf("%d are remembered", len(n.asked))
	}
}

// TestStepThatWasNotTakenUpIsToldOfAgain: its user had too many builds.
func TestStepThatWasNotTakenUpIsToldOfAgain(t *testing.T) {
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	s := &Step{held: []*proc.Handle{self}, looked: true}
	if !s.firstSeen() || s.firstSeen() || s.waits() {
		t.Fatal("it is not told of once")
	}
	s.tellAgain(time.Now().Add(time.Hour))
	if s.firstSeen() || !s.waits() {
		t.Error("it is told of too early, or never again")
	}
	s.tellAgain(time.Now())
	if !s.firstSeen() || s.firstSeen() {
		t.Error("it is not told of once more")
	}
}

// TestProcessesThatAreHeldAreBounded: each costs a descriptor, which are everybody's.
func TestProcessesThatAreHeldAreBounded(t *testing.T) {
	f := New(Options{Reader: proc.NewReader(), Placed: func(string) bool { return false }})
	f.holds = share.NewPool(share.Bounds{User: 3, Users: 100})
	hold := func(s *Step, n int) {
		for range n {
			h, err := proc.Open(os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			s.hold(h, map[proc.Identity]bool{})
		}
	}
	one, another, other := &Step{UID: 1000, follower: f}, &Step{UID: 1000, follower: f}, &Step{UID: 1001, follower: f}
	hold(one, 2)
	hold(another, 9)
	hold(other, 9)
	if len(one.held)+len(another.held) != 3 || len(other.held) != 3 {
		t.Errorf("%d and %d of one user are held, %d of another", len(one.held), len(another.held), len(other.held))
	}
	another.release()
	hold(one, 9)
	if len(one.held) != 3 {
		t.Errorf("%d are held after the other step has ended", len(one.held))
	}
	one.release()
	other.release()
	if f.holds.InUse() != 0 {
		t.Errorf("%d places are still taken", f.holds.InUse())
	}
}
