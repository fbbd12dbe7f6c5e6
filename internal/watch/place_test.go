package watch

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/owners/ownerstest"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

func TestPrepareFindsTheBuildOfTheCaller(t *testing.T) {
	w := newBench(t, longTimeouts)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	builder, handle := ownerstest.Start(t, "podman", podman.OCIMonitor, "build")
	caller := owners.Caller{Handle: handle, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	var places []*Place
	for _, container := range []string{"buildah-buildah1", "buildah-buildah2"} {
		p, err := w.Prepare(context.Background(), caller, Container{ID: container})
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, p)
	}
	if len(w.made) != 1 || places[0].build != places[1].build {
		t.Fatalf("%d scopes were made for two containers of one build", len(w.made))
	}
	s := <-w.made
	if want := s.CgroupsPath("buildah-buildah2"); places[1].CgroupsPath() != want {
		t.Errorf("the container's cgroup is %q, want %q", places[1].CgroupsPath(), want)
	}
	r, err := owners.Decode(s.spec.Record)
	if err != nil || r.ID != s.spec.ID || r.Owner.PID != builder.Process.Pid || r.UID != s.spec.UID || s.spec.UID != caller.UID {
		t.Errorf("the scope's record is %+v, %v; made for %+v", r, err, s.spec)
	}
	if len(s.spec.Record) > scopes.MaxRecord {
		t.Errorf("the record has %d bytes", len(s.spec.Record))
	}
	stranger := caller
	stranger.UID++
	if _, err := w.Prepare(context.Background(), stranger, Container{ID: "buildah-buildah3"}); !errors.Is(err, owners.ErrNoBuilder) {
		t.Errorf("a caller of another user: %v", err)
	}
}

func TestScopeThatCannotBeJoinedIsReplaced(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, first := w.run(c.owner(t))
	if again, err := w.place(context.Background(), c.owner(t)); err != nil || again.scope != processes.Door(first) {
		t.Fatalf("a scope that can be joined is not: %v", err)
	}
	first.clear()
	if _, err := w.place(context.Background(), c.owner(t)); err != nil {
		t.Fatal(err)
	}
	second := <-w.made
	if second.spec.ID != b.id || !slices.Equal(second.spec.Record, first.spec.Record) {
		t.Errorf("the new scope is for %+v", second.spec)
	}
	if calls := first.until(t, "close"); len(calls) != 1 {
		t.Errorf("called %v on the old one", calls)
	}
	if len(w.List(anybody)) != 1 || len(w.seen.started) != 1 {
		t.Errorf("%d builds are listed, %d have started", len(w.List(anybody)), len(w.seen.started))
	}
}

func TestScopeIsTriedAgainUntilItsNameIsFree(t *testing.T) {
	for _, passing := range []error{scopes.ErrUnitExists, scopes.ErrGone} {
		w := newBench(t, longTimeouts)
		tries := 0
		w.begin = func(_ context.Context, spec scopes.Spec) (*fakeScope, error) {
			if tries++; tries < 4 {
				return nil, passing
			}
			return newFakeScope(spec), nil
		}
		if _, err := w.place(context.Background(), startChild(t, "").owner(t)); err != nil || tries != 4 {
			t.Errorf("%v: place = %v, %d tries", passing, err, tries)
		}
	}
}

func TestScopeWhoseNameIsNeverFreeIsGivenUpWithTheRequest(t *testing.T) {
	w := newBench(t, longTimeouts)
	ctx, cancel := context.WithCancel(context.Background())
	tries := 0
	w.begin = func(context.Context, scopes.Spec) (*fakeScope, error) {
		if tries++; tries == 3 {
			cancel()
		}
		return nil, scopes.ErrUnitExists
	}
	if _, err := w.place(ctx, startChild(t, "").owner(t)); !errors.Is(err, scopes.ErrUnitExists) || tries != 3 {
		t.Errorf("place = %v, %d tries", err, tries)
	}
}

// A unit lives for as long as its containers, also without a keeper.
func TestScopeWithContainersAndWithoutKeeperIsJoined(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	_, first := w.run(c.owner(t))
	first.set(func() { first.joinable = false })
	w.begin = func(context.Context, scopes.Spec) (*fakeScope, error) { return nil, scopes.ErrUnitExists }
	p, err := w.place(context.Background(), c.owner(t))
	if err != nil || p.scope != processes.Door(first) {
		t.Fatalf("place = %+v, %v", p, err)
	}
	if len(first.calls) != 0 {
		t.Errorf("called %q on it", <-first.calls)
	}
}

func TestBuildWhoseFirstScopeFailsIsForgotten(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	var ids []string
	w.begin = func(_ context.Context, spec scopes.Spec) (*fakeScope, error) {
		ids = append(ids, spec.ID)
		return nil, scopes.ErrNoSystemd
	}
	for range 2 {
		if _, err := w.place(context.Background(), c.owner(t)); !errors.Is(err, scopes.ErrNoSystemd) {
			t.Errorf("place = %v", err)
		}
		if builds, owners := w.known(); builds+owners != 0 {
			t.Errorf("%d builds are known, of %d owners", builds, owners)
		}
		if _, over := w.storage.over[ids[len(ids)-1]]; !over {
			t.Error("storage waits for its end for good")
		}
	}
	w.begin = nil
	b, _ := w.run(c.owner(t))
	if ids = append(ids, b.id); ids[0] == ids[1] || ids[1] == ids[2] {
		t.Errorf("the builds are %v", ids)
	}
	if len(w.seen.started) != 1 || len(w.seen.ended) != 0 {
		t.Errorf("%d builds count as started, %d as ended", len(w.seen.started), len(w.seen.ended))
	}
}

func TestLaterScopeThatFailsLeavesTheBuildAlone(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, first := w.run(c.owner(t))
	first.clear()
	w.begin = func(context.Context, scopes.Spec) (*fakeScope, error) { return nil, scopes.ErrNoSystemd }
	if _, err := w.place(context.Background(), c.owner(t)); !errors.Is(err, scopes.ErrNoSystemd) {
		t.Errorf("place = %v", err)
	}
	w.begin = nil
	if again, _ := w.run(c.owner(t)); again != b {
		t.Error("it is another build now")
	}
}

// TestScopeOfABuildThatEndedMeanwhileIsDiscarded: however the build ends while
// systemd takes its time over the first scope.
func TestScopeOfABuildThatEndedMeanwhileIsDiscarded(t *testing.T) {
	for _, row := range []struct {
		name   string
		end    func(w *bench, b *build, owner, waiter *child)
		reason api.Reason
	}{
		{"the owner ends", func(_ *bench, _ *build, owner, _ *child) { owner.end() }, api.ReasonCompleted},
		{"who waits for the owner ends", func(_ *bench, _ *build, _, waiter *child) { waiter.end() }, api.ReasonOwnerExited},
		{"a user stops it", func(w *bench, b *build, _, _ *child) {
			go func() { _, _ = w.Stop(context.Background(), b.id, 0, api.StopRequest{}) }()
		}, api.ReasonStopped},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newBench(t, Timeouts{never, soon, never, never, never, soon, soon})
			builder, waiter := startChild(t, ""), startChild(t, "")
			w.begin = func(_ context.Context, spec scopes.Spec) (*fakeScope, error) {
				b, err := w.find(spec.ID)
				if err != nil {
					return nil, err
				}
				row.end(w, b, builder, waiter)
				proctest.Eventually(t, "the build is over", func() bool { return b.current().State != api.StateRunning })
				return newFakeScope(spec), nil
			}
			_, err := w.place(context.Background(), builder.owner(t, waiter))
			var ended EndedError
			if !errors.As(err, &ended) || ended.Reason != row.reason {
				t.Errorf("place = %v", err)
			}
			s := <-w.made
			if calls := s.until(t, "close"); !slices.Equal(calls, []string{"discard", "close"}) {
				t.Errorf("called %v", calls)
			}
			builder.end() // its step has failed
			proctest.Eventually(t, "the build is forgotten", func() bool { return len(w.Count()) == 0 })
			if len(w.seen.started) != 0 || len(w.seen.ended) != 0 {
				t.Error("a build that never was is counted")
			}
		})
	}
}

// Attack 7: 65,536 subuids, a request each; the bounds are package owners'.
func TestBuildWithoutAPlaceIsRefused(t *testing.T) {
	w := newBench(t, longTimeouts)
	ticks := uint64(0)
	begin := func() error {
		self, err := proc.Open(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		ticks++
		self.Start = ticks // another owner each time
		_, err = w.buildOf(&owners.Owner{Handle: self, Mode: api.ModeLocal}, 1000)
		return err
	}
	for begin() == nil {
	}
	if err := begin(); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
}
