package watch

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/sirupsen/logrus/hooks/test"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/stall"
)

// fakeSampler says what the test says of processes.
type fakeSampler struct {
	mu    sync.Mutex
	marks string // "" : they may go on
	asked int
	pids  []int // of the last time
}

func (f *fakeSampler) Sample(_ context.Context, _ uint32, pids []int) stall.Sample {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	f.pids = pids
	if f.marks == "" {
		return stall.Sample{}
	}
	return stall.Sample{Hung: []stall.Process{{PID: 7, Command: "go\n", Arch: "aarch64", Threads: make([]stall.Wait, 9)}}, Marks: f.marks}
}

func (f *fakeSampler) open(uid uint32) Hang { return stall.NewCase(f, uid) }

func (f *fakeSampler) say(marks string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.marks = marks
}

func (f *fakeSampler) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// last is what was looked at the last time.
func (f *fakeSampler) last() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pids
}

const stalledAfter = 60 * time.Millisecond

// hungBuild is a build of one step that hangs from the start.
func hungBuild(t *testing.T, rules Stalled) (*bench, *fakeSampler, *build, *fakeScope, *child) {
	t.Helper()
	w, sampler := newBench(t, longTimeouts), &fakeSampler{marks: "a"}
	w.script = func(s *fakeScope) { s.members = []scopes.Member{{PID: 7}} }
	w.WatchStalled(rules, sampler.open)
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	return w, sampler, b, s, c
}

func (b *build) is(t *testing.T, state api.State) {
	t.Helper()
	proctest.Eventually(t, "the build to be "+string(state), func() bool { return b.current().State == state })
}

func TestBuildThatHangsIsStalledAndCanGoOn(t *testing.T) {
	w, sampler, b, s, _ := hungBuild(t, Stalled{After: stalledAfter})
	hook := test.NewLocal(w.log.(*logrus.Logger))
	b.is(t, api.StateStalled)
	view := w.List(anybody)[0]
	if view.StalledSince.IsZero() || time.Since(view.StalledSince) < stalledAfter {
		t.Errorf("it is %+v", view)
	}
	if pids := sampler.last(); !slices.Equal(pids, []int{7}) {
		t.Errorf("looked at %v", pids)
	}
	s.cpu.Add(int64(time.Second))
	b.is(t, api.StateRunning)
	if view := w.List(anybody)[0]; !view.StalledSince.IsZero() {
		t.Errorf("a running build is %+v", view)
	}
	b.is(t, api.StateStalled)
	if again := w.List(anybody)[0]; !again.StalledSince.After(view.StalledSince) {
		t.Errorf("stalled since %v, before that since %v", again.StalledSince, view.StalledSince)
	}
	sampler.say("")
	b.is(t, api.StateRunning)
	if n := w.seen.stalled.Load(); n != 2 {
		t.Errorf("counted %d times", n)
	}
	proctest.Eventually(t, "each is logged", func() bool {
		warned, told := 0, 0
		for _, e := range hook.AllEntries() {
			switch {
			case e.Level == logrus.WarnLevel && e.Data["id"] == b.id && e.Data["since"] != nil && e.Data["processes"] == `7 "go\n" (aarch64, 9 threads)`:
				warned++
			case e.Level == logrus.InfoLevel && e.Data["state"] == "running":
				told++
			}
		}
		return warned == 2 && told == 2
	})
	select {
	case call := <-s.calls:
		t.Errorf("%q was called", call)
	default:
	}
}

// TestBuildThatComputesIsNotLookedAt: its counter tells enough.
func TestBuildThatComputesIsNotLookedAt(t *testing.T) {
	w, sampler := newBench(t, longTimeouts), &fakeSampler{marks: "a"}
	w.script = func(s *fakeScope) { s.cpuOfLook = int64(time.Second) }
	w.WatchStalled(Stalled{After: stalledAfter}, sampler.open)
	b, s := w.run(startChild(t, "").owner(t))
	untilLookedAt(t, &s.cpuLooks, 3*looks) // looks are a part of the time apart
	if n, now := sampler.count(), b.current(); n != 0 || now.State != api.StateRunning {
		t.Errorf("looked at %d times, and %+v", n, now)
	}
}

func TestStalledBuildIsEndedByPolicy(t *testing.T) {
	const killAfter = 100 * time.Millisecond
	w, _, b, s, c := hungBuild(t, Stalled{After: stalledAfter, KillAfter: killAfter})
	// It may be over before this goroutine gets to see it: the daemon's own times count.
	proctest.Eventually(t, "it is called stalled", func() bool { return w.seen.stalled.Load() == 1 })
	b.mu.Lock()
	seen := b.stalled.seen
	b.mu.Unlock()
	s.until(t, "kill")
	if took := time.Since(seen); took < killAfter {
		t.Errorf("ended after %v", took)
	}
	c.end()
	if e := w.end(); e.reason != api.ReasonStalled {
		t.Errorf("ended as %+v", e)
	}
}

// TestBuildThatGoesOnInTimeIsNotEnded: the time begins anew with each hang. The
// clock is the test's.
func TestBuildThatGoesOnInTimeIsNotEnded(t *testing.T) {
	w, sampler := newBench(t, longTimeouts), &fakeSampler{marks: "a"}
	w.script = func(s *fakeScope) { s.members = []scopes.Member{{PID: 7}} }
	b, s := w.run(startChild(t, "").owner(t))
	rules := Stalled{After: 10 * time.Second, KillAfter: time.Minute}
	now := time.Now()
	// next looks each second until something comes of it, and returns after how many.
	next := func(want lifecycle.Event) (seconds int) {
		t.Helper()
		for seconds = 1; seconds < 1000; seconds++ {
			now = now.Add(time.Second)
			if got := b.lookForStall(now, rules, sampler.open); got != "" {
				if got != want {
					t.Fatalf("after %d s: %s, want %s", seconds, got, want)
				}
				return seconds
			}
		}
		t.Fatalf("%s never comes", want)
		return 0
	}
	for range 3 {
		next(lifecycle.StalledSeen)
		b.send(message{event: lifecycle.StalledSeen})
		b.is(t, api.StateStalled)
		for range 50 { // of a minute
			now = now.Add(time.Second)
			if got := b.lookForStall(now, rules, sampler.open); got != "" {
				t.Fatalf("%s in a hang that goes on", got)
			}
		}
		s.cpu.Add(int64(time.Second))
		next(lifecycle.StalledOver)
		b.send(message{event: lifecycle.StalledOver})
		b.is(t, api.StateRunning)
	}
	next(lifecycle.StalledSeen)
	b.send(message{event: lifecycle.StalledSeen})
	b.is(t, api.StateStalled)
	if after := next(lifecycle.StalledTooLong); after != 60 {
		t.Errorf("it has hung too long after %d s, want 60", after)
	}
}

// TestStalledBuildEndsAsAnyOther: by its user, its owner, or itself.
func TestStalledBuildEndsAsAnyOther(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(*bench, *build, *fakeScope, *child)
		want api.Reason
	}{
		{"stop", func(_ *bench, b *build, s *fakeScope, c *child) {
			b.send(message{event: lifecycle.StopRequested})
			s.until(t, "kill")
			c.end()
		}, api.ReasonStopped},
		{"the owner", func(_ *bench, _ *build, _ *fakeScope, c *child) { c.end() }, api.ReasonOwnerExited},
		{"itself", func(_ *bench, _ *build, s *fakeScope, c *child) {
			s.set(func() { s.busy = false })
			c.end()
		}, api.ReasonCompleted},
	} {
		t.Run(row.name, func(t *testing.T) {
			w, _, b, s, c := hungBuild(t, Stalled{After: stalledAfter})
			b.is(t, api.StateStalled)
			row.end(w, b, s, c)
			if e := w.end(); e.reason != row.want {
				t.Errorf("ended as %+v", e)
			}
		})
	}
}

// TestUnsureBuildIsNotCalledStalled, and nothing is read of it.
func TestUnsureBuildIsNotCalledStalled(t *testing.T) {
	w, sampler := newBench(t, longTimeouts), &fakeSampler{marks: "a"}
	w.script = func(s *fakeScope) { s.members = []scopes.Member{{PID: 7}} }
	b, _ := w.run(startChild(t, "").owner(t))
	b.send(message{event: lifecycle.RequestDoubted})
	b.is(t, api.StateUnsure)
	now, rules := time.Now(), Stalled{After: 10 * time.Second, KillAfter: time.Millisecond}
	for range 3 * looks {
		now = now.Add(time.Second)
		if e := b.lookForStall(now, rules, sampler.open); e != "" {
			t.Fatalf("it is %s", e)
		}
	}
	if n := sampler.count(); n != 0 {
		t.Errorf("looked at %d times", n)
	}
}

// TestLooksBeginAnewWithTheNextBuild: after the last one they have ended.
func TestLooksBeginAnewWithTheNextBuild(t *testing.T) {
	w, _, b, s, c := hungBuild(t, Stalled{After: stalledAfter})
	b.is(t, api.StateStalled)
	s.set(func() { s.busy = false })
	c.end()
	w.end()
	proctest.Eventually(t, "the build is gone", func() bool { return len(w.all()) == 0 })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.watchStalled(Stalled{After: stalledAfter}, nil)
	}()
	select {
	case <-ended:
	case <-time.After(never):
		t.Fatal("looks go on without a build")
	}
	again, _ := w.run(startChild(t, "").owner(t))
	again.is(t, api.StateStalled)
}
