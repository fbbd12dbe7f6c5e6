package watch

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

func TestCompletedBuildIsTidiedUpAndNothingIsKilled(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	if mode := <-w.seen.started; mode != api.ModeLocal {
		t.Errorf("counted as %q", mode)
	}
	if list := w.List(anybody); len(list) != 1 || list[0].ID != b.id || list[0].State != api.StateRunning {
		t.Errorf("the list is %+v", list)
	}
	s.set(func() { s.busy = false }) // the container ended
	c.end()
	if e := w.end(); e.reason != api.ReasonCompleted || e.cancel != 0 || e.lived <= 0 {
		t.Errorf("counted as %+v", e)
	}
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"discard", "close"}) {
		t.Errorf("called %v", calls)
	}
	if list := w.List(anybody); len(list) != 0 {
		t.Errorf("the list is %+v", list)
	}
	if rungs := w.seen.rungs(); len(rungs) != 0 {
		t.Errorf("the ladder was climbed: %v", rungs)
	}
}

// TestStopIsAnsweredByTheEnd, however late it is looked: what watches a build that is gone
// is closed right after, as it is when the daemon stops.
func TestStopIsAnsweredByTheEnd(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	settled := b.rest()
	c.end()
	s.until(t, "close")
	<-b.life.Done()
	for range 100 {
		if err := b.awaitRest(t.Context(), settled); err != nil {
			t.Fatalf("it is gone, and who has asked for that is told: %v", err)
		}
	}
	if err := b.awaitRest(t.Context(), make(chan struct{})); err == nil {
		t.Error("it has not come to rest, and who waits for that is told nothing")
	}
}

// TestLadder ends builds whose owner is gone and left its containers.
func TestLadder(t *testing.T) {
	kill, stop, cgroupKill := api.RungKill, api.RungStop, api.RungCgroupKill
	for _, row := range []struct {
		name       string
		kill, stop func(context.Context) error // nil: it works
		cgroupKill func() error
		calls      []string
		rungs      []api.Rung
	}{
		{"the kill works", nil, nil, nil,
			[]string{"kill", "stop", "close"}, []api.Rung{kill, stop}},
		{"the kill fails", fails, helpsNot, nil,
			[]string{"kill", "stop", "cgroup_kill", "stop", "close"}, []api.Rung{kill, stop, cgroupKill, stop}},
		{"the kill is not answered", hangs, helpsNot, nil,
			[]string{"kill", "stop", "cgroup_kill", "stop", "close"}, []api.Rung{kill, stop, cgroupKill, stop}},
		{"the kill helps not", helpsNot, helpsNot, nil,
			[]string{"kill", "stop", "cgroup_kill", "stop", "close"}, []api.Rung{kill, stop, cgroupKill, stop}},
		{"systemd is not there", fails, fails, nil,
			[]string{"kill", "stop", "cgroup_kill", "stop", "discard", "close"}, []api.Rung{kill, stop, cgroupKill, stop}},
		{"systemd is silent", hangs, hangs, nil,
			[]string{"kill", "stop", "cgroup_kill", "stop", "discard", "close"}, []api.Rung{kill, stop, cgroupKill, stop}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newBench(t, Timeouts{Kill: soon, Owner: never, OwnerTerm: never, Stop: soon, CgroupKill: never, Survivors: soon, Helpers: soon})
			w.script = func(s *fakeScope) { s.kill, s.stop, s.cgroupKill = row.kill, row.stop, row.cgroupKill }
			if row.kill == nil {
				w.timeouts.Kill, w.timeouts.Stop = never, never
			}
			c := startChild(t, "")
			_, s := w.run(c.owner(t))
			c.end()
			e := w.end()
			if e.reason != api.ReasonOwnerExited || e.cancel <= 0 || e.lived < e.cancel {
				t.Errorf("counted as %+v", e)
			}
			if calls := s.until(t, "close"); !slices.Equal(calls, row.calls) {
				t.Errorf("called %v, want %v", calls, row.calls)
			}
			if rungs := w.seen.rungs(); !slices.Equal(rungs, row.rungs) {
				t.Errorf("climbed %v, want %v", rungs, row.rungs)
			}
		})
	}
}

func TestStopThatEmptiesTheScopeNeedsNoMore(t *testing.T) {
	w := newBench(t, longTimeouts)
	var b *build
	known := make(chan struct{})
	w.script = func(s *fakeScope) {
		s.kill = fails
		s.stop = func(context.Context) error {
			<-known
			s.clear()
			proctest.Eventually(t, "the empty scope is seen", func() bool { return b.current().Empty })
			return nil
		}
	}
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	close(known)
	c.end()
	w.end()
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill", "stop", "close"}) {
		t.Errorf("called %v", calls)
	}
	history := b.history()
	if len(history) != 2 || history[0].Error != errFailed.Error() || history[1].Error != "" || history[0].TimedOut {
		t.Errorf("the ladder's history is %+v", history)
	}
}

func TestBuildThatNothingEndsIsStuckUntilTheKernelLetsGo(t *testing.T) {
	w := newBench(t, Timeouts{Kill: soon, Owner: never, OwnerTerm: never, Stop: soon, CgroupKill: soon, Survivors: soon, Helpers: soon})
	w.script = func(s *fakeScope) {
		s.kill, s.stop = helpsNot, hangs
		s.cgroupKill = func() error { return nil }
		s.members = []scopes.Member{{PID: os.Getpid(), Cgroup: s.Cgroup() + "/payload/run-c"}}
	}
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	c.end()
	<-b.rest()
	detail, err := w.Detail(b.id)
	if err != nil {
		t.Fatal(err)
	}
	if detail.State != api.StateStuck || detail.Reason != api.ReasonOwnerExited || !detail.Owner.Exited || detail.EndedAt != (time.Time{}) {
		t.Errorf("it is shown as %+v", detail.Build)
	}
	if len(detail.ProcessTree) != 1 || detail.ProcessTree[0].PID != os.Getpid() || !detail.ProcessTree[0].Survivor {
		t.Errorf("its processes are %+v", detail.ProcessTree)
	}
	p := detail.ProcessTree[0]
	if p.State != "D" || p.Since.IsZero() || len(p.Waits) != 1 || p.Waits[0].Connection != 7 {
		t.Errorf("what it waits for is %+v", p)
	}
	if len(detail.Ladder) != 4 || !detail.Ladder[0].TimedOut || !detail.Ladder[2].TimedOut {
		t.Errorf("the ladder is %+v", detail.Ladder)
	}
	if len(w.seen.ended) != 0 {
		t.Error("counted as ended")
	}
	if got := w.Count()[api.StateStuck]; got != 1 {
		t.Errorf("%d builds are stuck", got)
	}
	// A second wish to end it changes nothing, and is answered at once.
	if view, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{}); err != nil || view.State != api.StateStuck {
		t.Errorf("Stop = %+v, %v", view, err)
	}
	s.clear()
	if e := w.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("counted as %+v", e)
	}
	want := []string{"kill", "stop", "cgroup_kill", "discard", "close"}
	if calls := s.until(t, "close"); !slices.Equal(calls, want) {
		t.Errorf("called %v, want %v", calls, want)
	}
	if _, err := w.Detail(b.id); !isNotFound(err) {
		t.Errorf("it is still known: %v", err)
	}
	if w.seen.freed != 0 || len(w.seen.outlived) != 1 || w.seen.outlived[0][api.WaitOther] != 1 || len(w.seen.unstuck) != 1 || w.seen.unstuck[0] <= 0 {
		t.Errorf("counted as freed %d times, survivors %v, unstuck after %v", w.seen.freed, w.seen.outlived, w.seen.unstuck)
	}
}

// TestSurvivorsThatAreFreedMakeNoBuildStuck: the last rung has done.
func TestSurvivorsThatAreFreedMakeNoBuildStuck(t *testing.T) {
	w := newBench(t, Timeouts{Kill: soon, Owner: never, OwnerTerm: never, Stop: soon, CgroupKill: soon, Survivors: never, Helpers: soon})
	w.script = func(s *fakeScope) {
		var freed atomic.Bool
		s.kill, s.stop = helpsNot, func(ctx context.Context) error {
			if freed.Load() {
				return nil
			}
			return hangs(ctx)
		}
		s.cgroupKill = func() error { return nil }
		s.members = []scopes.Member{{PID: os.Getpid(), Cgroup: s.Cgroup() + "/payload/run-c"}}
		w.looks.free = func() { freed.Store(true); s.clear() }
	}
	c := startChild(t, "")
	_, _ = w.run(c.owner(t))
	c.end()
	w.end()
	want := []api.Rung{api.RungKill, api.RungStop, api.RungCgroupKill, api.RungSurvivors, api.RungStop}
	if got := w.seen.rungs(); !slices.Equal(got, want) {
		t.Errorf("the rungs are %v, want %v", got, want)
	}
	if w.seen.freed != 1 || len(w.seen.unstuck) != 0 {
		t.Errorf("counted as freed %d times, unstuck after %v", w.seen.freed, w.seen.unstuck)
	}
}

// TestWhoServedTheStorageEndsLast: when nothing else is left, and only where the
// owner does not do it itself.
func TestWhoServedTheStorageEndsLast(t *testing.T) {
	w := newBench(t, longTimeouts)
	helper := &fakeHelper{}
	w.looks.roots, w.looks.helpers = []uint32{7}, []*fakeHelper{helper}
	c := startChild(t, "")
	_, s := w.run(c.owner(t))
	c.end()
	w.end()
	s.until(t, "close")
	if !helper.ended.Load() {
		t.Error("the helper was not ended")
	}
	proctest.Eventually(t, "the helper is let go of", helper.closed.Load)
	want := []api.Rung{api.RungKill, api.RungStop, api.RungHelpers}
	if got := w.seen.rungs(); !slices.Equal(got, want) {
		t.Errorf("the rungs are %v, want %v", got, want)
	}
}

func isNotFound(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == api.CodeNotFound
}

// TestStop ends builds that are wanted: the containers first, the owner only if
// it does not end by itself.
func TestStop(t *testing.T) {
	for _, row := range []struct {
		name         string
		owner        string // script
		tidies       bool   // ends when its containers do
		spared       bool
		timeouts     Timeouts
		ownerTimeout *api.Seconds
		exit         syscall.WaitStatus // of the owner, where it is not spared
		rungs        []api.Rung
	}{
		{name: "the owner tidies up", tidies: true, timeouts: longTimeouts,
			rungs: []api.Rung{api.RungKill, api.RungOwner, api.RungStop}, exit: 1 << 8},
		{name: "the owner obeys SIGTERM", timeouts: Timeouts{never, soon, never, never, never, soon, soon},
			rungs: []api.Rung{api.RungKill, api.RungOwner, api.RungStop}, exit: syscall.WaitStatus(syscall.SIGTERM)},
		{name: "with a time of its own for the owner", timeouts: longTimeouts, ownerTimeout: new(api.Seconds(soon)),
			rungs: []api.Rung{api.RungKill, api.RungOwner, api.RungStop}, exit: syscall.WaitStatus(syscall.SIGTERM)},
		{name: "the owner ignores SIGTERM", owner: `trap "" TERM`, timeouts: Timeouts{never, soon, 25 * soon, never, never, soon, soon},
			rungs: []api.Rung{api.RungKill, api.RungOwner, api.RungStop}, exit: syscall.WaitStatus(syscall.SIGKILL)},
		{name: "the owner serves others", spared: true, timeouts: Timeouts{never, soon, soon, never, never, soon, soon},
			rungs: []api.Rung{api.RungKill, api.RungOwner, api.RungStop}, exit: 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newBench(t, row.timeouts)
			c := startChild(t, row.owner)
			o := c.owner(t)
			if o.Spared = row.spared; o.Spared {
				o.Mode = api.ModeAPI
			}
			aliveAtKill := false
			w.script = func(s *fakeScope) {
				s.kill = func(context.Context) error {
					aliveAtKill = o.Alive()
					s.clear()
					if row.tidies {
						go func() {
							b, _ := w.find(s.spec.ID)
							proctest.Eventually(t, "it is the owner's turn", func() bool { return b.current().Stage == lifecycle.StageTidy })
							c.end()
						}()
					}
					return nil
				}
			}
			b, s := w.run(o)

			// Who looks meanwhile disturbs nothing.
			var looking sync.WaitGroup
			over := make(chan struct{})
			looking.Go(func() {
				for {
					select {
					case <-over:
						return
					default:
						w.List(anybody)
						_, _ = w.Detail(b.id)
					}
				}
			})
			view, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{OwnerTimeout: row.ownerTimeout})
			close(over)
			looking.Wait()
			if err != nil || view.State != api.StateGone || view.Reason != api.ReasonStopped || view.EndedAt.IsZero() {
				t.Errorf("Stop = %+v, %v", view, err)
			}
			if !aliveAtKill {
				t.Error("the owner had ended before its containers were killed")
			}
			if e := w.end(); e.reason != api.ReasonStopped {
				t.Errorf("counted as %+v", e)
			}
			if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill", "stop", "close"}) {
				t.Errorf("called %v", calls)
			}
			if rungs := w.seen.rungs(); !slices.Equal(rungs, row.rungs) {
				t.Errorf("climbed %v, want %v", rungs, row.rungs)
			}
			if row.spared {
				h, err := proc.Open(c.Process.Pid)
				if err != nil {
					t.Fatalf("the service was harmed: %v", err)
				}
				h.Close()
				return
			}
			if exit := c.wait(); exit != row.exit {
				t.Errorf("the owner's status is %#x, want %#x", exit, row.exit)
			}
		})
	}
}

func TestStopIsAnsweredWhenItsCallerLeaves(t *testing.T) {
	w := newBench(t, longTimeouts)
	killed := make(chan struct{})
	w.script = func(s *fakeScope) {
		s.kill = func(ctx context.Context) error {
			close(killed)
			return hangs(ctx)
		}
	}
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	cause := errors.New("the caller left")
	ctx, leave := context.WithCancelCause(context.Background())
	go func() {
		<-killed
		leave(cause)
	}()
	if _, err := w.Stop(ctx, b.id, 0, api.StopRequest{}); !errors.Is(err, cause) {
		t.Errorf("Stop = %v", err)
	}
	// The build is ended nevertheless.
	s.clear()
	c.end()
	if e := w.end(); e.reason != api.ReasonStopped {
		t.Errorf("counted as %+v", e)
	}
}

func TestStopOfNoBuild(t *testing.T) {
	w := newBench(t, longTimeouts)
	for _, id := range []string{"", "bcdfghjk", "../../x", "\x1b[31m"} {
		if _, err := w.Stop(context.Background(), id, 0, api.StopRequest{}); !isNotFound(err) {
			t.Errorf("Stop(%q) = %v", id, err)
		}
	}
}

// A rootless podman waits for another that does the work.
func TestBuildIsOverWhenWhoWaitsForItIsGone(t *testing.T) {
	w := newBench(t, Timeouts{never, soon, never, never, never, soon, soon})
	waiter, builder := startChild(t, ""), startChild(t, "")
	_, s := w.run(builder.owner(t, waiter))
	waiter.end()
	if e := w.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("counted as %+v", e)
	}
	if exit := builder.wait(); exit != syscall.WaitStatus(syscall.SIGTERM) {
		t.Errorf("the builder's status is %#x", exit)
	}
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill", "stop", "close"}) {
		t.Errorf("called %v", calls)
	}

	// One that has waited to the end is no news.
	waiter, builder = startChild(t, ""), startChild(t, "")
	_, s = w.run(builder.owner(t, waiter))
	s.set(func() { s.busy = false })
	builder.end()
	builder.wait()
	waiter.end()
	if e := w.end(); e.reason != api.ReasonCompleted {
		t.Errorf("counted as %+v", e)
	}
}

func TestContainerOfABuildThatIsOverIsRefused(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.script = func(s *fakeScope) { s.kill = hangs }
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	early, err := w.place(context.Background(), c.owner(t))
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = w.Stop(context.Background(), b.id, 0, api.StopRequest{}) }()
	s.until(t, "kill")
	acted := false
	var ended EndedError
	if err := early.Enter(func() error { acted = true; return nil }); !errors.As(err, &ended) || ended.Reason != api.ReasonStopped || acted {
		t.Errorf("Enter = %v, acted %v", err, acted)
	}
	if _, err := w.place(context.Background(), c.owner(t)); !errors.As(err, &ended) || ended.Reason != api.ReasonStopped {
		t.Errorf("place = %v", err)
	}
	s.clear()
	c.end()
	w.end()
}

func TestEnterDoesWhatActAllows(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	p, err := w.place(context.Background(), c.owner(t))
	if err != nil {
		t.Fatal(err)
	}
	s := <-w.made
	if want := s.CgroupsPath("c"); p.CgroupsPath() != want {
		t.Errorf("the container's cgroup is %q, want %q", p.CgroupsPath(), want)
	}
	if err := p.Enter(func() error { return errFailed }); !errors.Is(err, errFailed) || len(s.entered) != 0 {
		t.Errorf("Enter = %v, entered %v", err, s.entered)
	}
	if err := p.Enter(func() error { return nil }); err != nil || !slices.Equal(s.entered, []int{os.Getpid()}) {
		t.Errorf("Enter = %v, entered %v", err, s.entered)
	}
}

// TestEnterRacesWithTheOwnersEnd: a container that was let in makes its build an
// abandoned one, and one that was not finds the build over. There is no third
// way: a build that counts as complete with a container in it.
func TestEnterRacesWithTheOwnersEnd(t *testing.T) {
	w := newBench(t, longTimeouts)
	let, refused := 0, 0
	for i := range 500 {
		self, err := proc.Open(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		p, err := w.place(context.Background(), &owners.Owner{Handle: self, Mode: api.ModeLocal})
		if err != nil {
			t.Fatal(err)
		}
		s := <-w.made
		var both sync.WaitGroup
		start := make(chan struct{})
		both.Go(func() {
			<-start
			if i%3 == 0 {
				time.Sleep(time.Duration(i%7) * time.Microsecond) // neither is always first
			}
			p.build.send(message{event: lifecycle.OwnerExited})
		})
		both.Go(func() {
			<-start
			err = p.Enter(func() error { return nil })
		})
		close(start)
		both.Wait()
		e := w.end()
		var ended EndedError
		switch {
		case err == nil:
			let++
			if e.reason != api.ReasonOwnerExited || s.discards != 0 {
				t.Fatalf("a container was let in, and the build counts as %q", e.reason)
			}
		case errors.As(err, &ended):
			refused++
			if e.reason != api.ReasonCompleted || len(s.entered) != 0 {
				t.Fatalf("a container was refused, and the build counts as %q, entered %v", e.reason, s.entered)
			}
		default:
			t.Fatal(err)
		}
		s.until(t, "close")
	}
	t.Logf("%d let in, %d refused", let, refused)
}

func TestCloseLeavesBuildsAlone(t *testing.T) {
	for name, test := range map[string]struct {
		kill  func(context.Context) error
		stop  bool
		calls []string
	}{
		"running":              {nil, false, []string{"close"}},
		"in a call to systemd": {hangs, true, []string{"kill", "close"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBench(t, longTimeouts)
			c := startChild(t, "")
			begun := make(chan struct{})
			w.script = func(s *fakeScope) {
				if test.kill != nil {
					s.kill = func(ctx context.Context) error {
						close(begun)
						return test.kill(ctx)
					}
				}
			}
			b, s := w.run(c.owner(t))
			stopped := make(chan error, 1)
			if test.stop {
				go func() {
					_, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{})
					stopped <- err
				}()
				<-begun
			}
			started := time.Now()
			w.Close()
			if took := time.Since(started); took > time.Second {
				t.Errorf("Close took %v", took)
			}
			if calls := s.until(t, "close"); !slices.Equal(calls, test.calls) {
				t.Errorf("called %v, want %v", calls, test.calls)
			}
			if test.stop {
				if err := <-stopped; err == nil {
					t.Error("Stop says that the build is gone")
				}
			}
			if h, err := proc.Open(c.Process.Pid); err != nil {
				t.Errorf("the owner was harmed: %v", err)
			} else {
				h.Close()
			}
			if len(w.seen.ended) != 0 {
				t.Error("counted as ended")
			}
		})
	}
}

// TestStopLetsAContainerStartThatIsBeingMade: its owner would not notice its end.
func TestStopLetsAContainerStartThatIsBeingMade(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	s.set(func() { s.starting = true })
	s.kill = func(context.Context) error {
		if s.Starting() {
			t.Error("killed while it was being made")
		}
		s.clear()
		c.end()
		return nil
	}
	stopped := make(chan error)
	go func() {
		_, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{})
		stopped <- err
	}()
	proctest.Eventually(t, "the stop waits", func() bool { return b.current().Stage == lifecycle.StageLetStart })
	s.set(func() { s.starting = false })
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}
