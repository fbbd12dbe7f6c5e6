package watch

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// TestThousandBuildsAreFoundAndCountedWithoutALookAtAProcess: only who asks for a list of
// builds has those looked at that he may see.
func TestThousandBuildsAreFoundAndCountedWithoutALookAtAProcess(t *testing.T) {
	w := newBench(t, longTimeouts)
	var all []*fakeScope
	for i := range 1000 {
		s := newFakeScope(scopes.Spec{ID: fmt.Sprint(i)})
		all = append(all, s)
		w.add(w.makeBuild(owners.Record{ID: fmt.Sprint(i), UID: uint32(i)}, nil, processes.Set{Scope: s}, func() {}), false)
	}
	looks := func() (n int64) {
		for _, s := range all {
			n += s.looks.Swap(0)
		}
		return n
	}
	if n := len(w.Heads()); n != 1000 {
		t.Errorf("%d builds are known", n)
	}
	if n := w.Count()[api.StateRunning]; n != 1000 {
		t.Errorf("%d builds are counted", n)
	}
	w.Survivors()
	if list := w.List(func(api.User) bool { return false }); len(list) != 0 {
		t.Errorf("%d builds are listed for nobody", len(list))
	}
	if _, err := w.find("7"); err != nil {
		t.Error(err)
	}
	if n := looks(); n != 0 {
		t.Errorf("that cost %d looks", n)
	}
	if list := w.List(func(u api.User) bool { return u.UID == 7 }); len(list) != 1 {
		t.Errorf("%d builds of one user are listed", len(list))
	}
	for i, s := range all {
		if n := s.looks.Load(); n != 0 != (i == 7) {
			t.Errorf("the build of UID %d was looked at %d times", i, n)
		}
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
