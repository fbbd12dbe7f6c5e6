package watch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// TestThousandBuildsAreListedFoundAndCountedWithoutALookAtAProcess: what they use is looked
// at aside, for who asks again.
func TestThousandBuildsAreListedFoundAndCountedWithoutALookAtAProcess(t *testing.T) {
	w := newBench(t, longTimeouts)
	step := newFakeStep(t, startChild(t, ""))
	for i := range 1000 {
		held := processes.Set{Scope: newFakeScope(scopes.Spec{ID: fmt.Sprint(i)})}
		if i%2 == 1 {
			held = processes.Set{Unplaced: processes.NewUnplaced(processes.Origin{})}
			held.Unplaced.Add(step)
		}
		w.add(w.makeBuild(owners.Record{ID: fmt.Sprint(i), UID: uint32(i)}, nil, held, func() {}), false)
	}
	if n := len(w.Heads()); n != 1000 {
		t.Errorf("%d builds are known", n)
	}
	if n := w.Count()[api.StateRunning]; n != 1000 {
		t.Errorf("%d builds are counted", n)
	}
	w.Survivors()
	w.Usage()
	if _, err := w.find("7"); err != nil {
		t.Error(err)
	}
	if list := w.List(func(u api.User) bool { return u.UID == 7 }); len(list) != 1 || list[0].Processes != 0 || list[0].Placement != api.PlacementObserved {
		t.Errorf("listed of one user: %+v", list)
	}
	if list := w.List(anybody); len(list) != 1000 {
		t.Errorf("%d builds are listed", len(list))
	}
	if looks, asked := step.Looks.Load(), step.Asked.Load(); looks+asked != 0 {
		t.Errorf("that cost %d looks, and asked %d times for processes", looks, asked)
	}
	proctest.Eventually(t, "it is known what they use", func() bool {
		list := w.List(func(u api.User) bool { return u.UID == 7 })
		return list[0].Processes == 1 && list[0].Cgroup == "/caller"
	})
}

// TestStepIsMeasuredSoonAfterItHasBegun, though nobody asks: who lists the builds once is to
// be told what runs.
func TestStepIsMeasuredSoonAfterItHasBegun(t *testing.T) {
	w := newBench(t, longTimeouts)
	step := newFakeStep(t, startChild(t, ""))
	b := w.observe(startChild(t, "").owner(t), step)
	proctest.Eventually(t, "it is measured", func() bool { return b.usage().Processes == 1 })
	before := step.Asked.Load()
	b.usage()
	if step.Asked.Load() != before {
		t.Error("to be told costs a look")
	}
}

// TestBuildThatHangsAsItIsPlacedHoldsBackNoOther: the kernel may take its time for a move
// into a cgroup. Others are placed, listed, counted and found meanwhile; and that one is
// shown, too.
func TestBuildThatHangsAsItIsPlacedHoldsBackNoOther(t *testing.T) {
	w := newBench(t, longTimeouts)
	first := startChild(t, "")
	hung, _ := w.run(first.owner(t))
	p, err := w.place(context.Background(), first.owner(t))
	if err != nil {
		t.Fatal(err)
	}
	inside, release, entered := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		entered <- p.Enter(func() error { close(inside); <-release; return nil })
	}()
	<-inside
	done := make(chan struct{})
	go func() {
		defer close(done)
		other, _ := w.run(startChild(t, "").owner(t))
		if heads, list := w.Heads(), w.List(anybody); len(heads) != 2 || len(list) != 2 {
			t.Errorf("%d builds are known, %d are listed", len(heads), len(list))
		}
		if n := w.Count()[api.StateRunning]; n != 2 {
			t.Errorf("%d builds are counted", n)
		}
		if _, err := w.Detail(other.id); err != nil {
			t.Error(err)
		}
		if w.holding(hung.processes().Cgroup()) != hung {
			t.Error("whose the scope is can't be told")
		}
		w.Survivors()
	}()
	select {
	case <-done:
	case <-time.After(never):
		t.Error("somebody waits for it")
	}
	close(release)
	if err := <-entered; err != nil {
		t.Error(err)
	}
	<-done
}
