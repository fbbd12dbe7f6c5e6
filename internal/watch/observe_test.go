package watch

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// fakeStep is a step whose processes are those that the test names.
type fakeStep struct {
	mu        sync.Mutex
	processes []*proc.Handle
	own       proc.CgroupID
	named     bool // own is known by its name only
	populated atomic.Bool
	looks     atomic.Int32
	onLook    func() // may be nil
}

func newFakeStep(t *testing.T, children ...*child) *fakeStep {
	t.Helper()
	s := &fakeStep{}
	for _, c := range children {
		s.add(t, c)
	}
	return s
}

func (s *fakeStep) add(t *testing.T, c *child) {
	t.Helper()
	h, err := proc.Open(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, h)
}

func (s *fakeStep) Look() {
	s.looks.Add(1)
	if s.onLook != nil {
		s.onLook()
	}
}

func (s *fakeStep) Glance() { s.looks.Add(1) }

func (s *fakeStep) Alive() []*proc.Handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.processes), func(h *proc.Handle) bool { return !h.Alive() })
}

func (s *fakeStep) Cgroup() string { return "/caller" }
func (s *fakeStep) Own() (proc.CgroupID, bool, bool) {
	return s.own, !s.named, s.own != proc.CgroupID{}
}
func (s *fakeStep) Populated() bool { return s.populated.Load() }
func (s *fakeStep) Over() bool      { return len(s.Alive()) == 0 && !s.Populated() }

// observe begins a build of the owner that was seen and not placed.
func (b *bench) observe(o *owner, step Followed) *build {
	b.t.Helper()
	build, err := b.buildOf(o, uint32(os.Getuid()))
	if err != nil {
		b.t.Fatal(err)
	}
	build.mu.Lock()
	build.see(step)
	build.mu.Unlock()
	return build
}

func (c *child) alive() bool { return syscall.Kill(c.Process.Pid, 0) == nil }

func TestObservedBuildIsListedAndLeftAlone(t *testing.T) {
	b := newBench(t, longTimeouts)
	owner, process := startChild(t, ""), startChild(t, "")
	b.observe(owner.owner(t), newFakeStep(t, process))
	list := b.List()
	if len(list) != 1 || list[0].Placement != api.PlacementObserved || list[0].State != api.StateRunning ||
		list[0].Processes != 1 || list[0].Scope != "" || list[0].Cgroup != "/caller" {
		t.Errorf("listed: %+v", list)
	}
	if !process.alive() || len(b.made) != 0 {
		t.Error("something was done to it")
	}
	process.end()
	process.wait()
	owner.end()
	if e := b.end(); e.reason != api.ReasonCompleted {
		t.Errorf("it ended by %s", e.reason)
	}
}

// TestOrphansAreGatheredOnlyWhenTheOwnerIsGone, into one scope that the ladder then
// is climbed with.
func TestOrphansAreGatheredOnlyWhenTheOwnerIsGone(t *testing.T) {
	b := newBench(t, longTimeouts)
	owner, first, second := startChild(t, ""), startChild(t, ""), startChild(t, "")
	b.observe(owner.owner(t), newFakeStep(t, first, second))
	owner.end()
	s := <-b.made
	if e := b.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("it ended by %s", e.reason)
	}
	s.mu.Lock()
	entered := slices.Clone(s.entered)
	s.mu.Unlock()
	if want := []int{first.Process.Pid, second.Process.Pid}; !slices.Equal(entered, want) {
		t.Errorf("gathered are %v, want %v", entered, want)
	}
	for _, c := range []*child{first, second} {
		if status := c.wait(); status.Signal() != syscall.SIGKILL {
			t.Errorf("process %d ended by %v", c.Process.Pid, status)
		}
	}
}

// TestOrphansAreEndedWithoutSystemd: by their descriptors.
func TestOrphansAreEndedWithoutSystemd(t *testing.T) {
	b := newBench(t, longTimeouts)
	owner, process := startChild(t, ""), startChild(t, "")
	b.begin = failing
	b.observe(owner.owner(t), newFakeStep(t, process))
	owner.end()
	if e := b.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("it ended by %s", e.reason)
	}
	process.wait()
}

// TestSilentSystemdLeavesTimeForTheOrphans: to gather them may take half of the
// rung's time, and the rung then ends them without a scope.
func TestSilentSystemdLeavesTimeForTheOrphans(t *testing.T) {
	b := newBench(t, Timeouts{Kill: 200 * soon, Owner: never, OwnerTerm: never, Stop: never, CgroupKill: never})
	owner, process := startChild(t, ""), startChild(t, "")
	b.begin = func(ctx context.Context, _ scopes.Spec) (*fakeScope, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	b.observe(owner.owner(t), newFakeStep(t, process))
	owner.end()
	b.end()
	process.wait()
	if rungs := b.seen.rungs(); !slices.Equal(rungs, []api.Rung{api.RungKill, api.RungStop}) {
		t.Errorf("climbed %v", rungs)
	}
	b.seen.mu.Lock()
	defer b.seen.mu.Unlock()
	if kill := b.seen.steps[0]; kill.TimedOut || kill.Error != "" || kill.Survivors != 0 {
		t.Errorf("the first rung is %+v", kill)
	}
}

// growingStep has another process at each of the first looks: what was started since
// the last.
type growingStep struct {
	*fakeStep
	t    *testing.T
	left int
}

func (s *growingStep) Look() {
	if s.left > 0 {
		s.left--
		s.add(s.t, startChild(s.t, ""))
	}
}

// TestCgroupKillOfTheUngatheredGoesOnUntilNoneIsLeft, not only with those of its
// first look.
func TestCgroupKillOfTheUngatheredGoesOnUntilNoneIsLeft(t *testing.T) {
	step := &growingStep{newFakeStep(t), t, 5}
	o := &observed{steps: []Followed{step}}
	ctx, cancel := context.WithTimeout(context.Background(), never)
	defer cancel()
	if err := o.CgroupKill(ctx); err != nil {
		t.Error(err)
	}
	if left := step.Alive(); len(left) != 0 || step.left != 0 {
		t.Errorf("%d are left, %d more would come", len(left), step.left)
	}
}

// TestStopOfALiveObservedBuildMovesNothing: its processes are killed where they
// are, and the owner tidies up.
func TestStopOfALiveObservedBuildMovesNothing(t *testing.T) {
	b := newBench(t, longTimeouts)
	owner, process := startChild(t, ""), startChild(t, "")
	build := b.observe(owner.owner(t), newFakeStep(t, process))
	go func() {
		process.wait()
		owner.end()
	}()
	view, err := b.Stop(context.Background(), build.id, 0, api.StopRequest{})
	if err != nil || view.State != api.StateGone {
		t.Errorf("%+v, %v", view, err)
	}
	if len(b.made) != 0 {
		t.Error("a scope was made")
	}
}

// TestOneBuildOfPlacedAndObservedSteps: the daemon was away for a step.
func TestOneBuildOfPlacedAndObservedSteps(t *testing.T) {
	b := newBench(t, longTimeouts)
	owner, process := startChild(t, ""), startChild(t, "")
	placed, s := b.run(owner.owner(t))
	if seen := b.observe(owner.owner(t), newFakeStep(t, process)); seen != placed {
		t.Fatal("the owner has two builds")
	}
	if list := b.List(); len(list) != 1 || list[0].Placement != api.PlacementScope || list[0].Processes != 1 {
		t.Errorf("listed: %+v", list)
	}
	owner.end()
	b.end()
	process.wait()
	if calls := s.until(t, "kill"); !slices.Contains(calls, "attach") || len(b.made) != 0 {
		t.Errorf("called %v, and another scope was made %d times", calls, len(b.made))
	}
}

// TestOrphansThatNobodyOwnsAreKept until their user asks for their end.
func TestOrphansThatNobodyOwnsAreKept(t *testing.T) {
	b := newBench(t, longTimeouts)
	process := startChild(t, "")
	b.Orphaned(Sighting{UID: 1000, Processes: newFakeStep(t, process)})
	list := b.List()
	if len(list) != 1 || list[0].State != api.StateUnsure || list[0].User.UID != 1000 || !list[0].Owner.Exited {
		t.Fatalf("listed: %+v", list)
	}
	if !process.alive() {
		t.Error("it was ended by guess")
	}
	if view, err := b.Stop(context.Background(), list[0].ID, 1000, api.StopRequest{}); err != nil || view.State != api.StateGone || view.Reason != api.ReasonStopped {
		t.Errorf("%+v, %v", view, err)
	}
	process.wait()
}

func TestOrphansThatEndByThemselvesAreForgotten(t *testing.T) {
	b := newBench(t, longTimeouts)
	process := startChild(t, "")
	b.Orphaned(Sighting{Processes: newFakeStep(t, process)})
	process.end()
	process.wait()
	if e := b.end(); e.reason != api.ReasonCompleted {
		t.Errorf("it ended by %s", e.reason)
	}
	eventually(t, "the list is empty", func() bool { return len(b.List()) == 0 })
}

// TestStepWhoseBuilderHasEndedSinceItWasSeen is abandoned.
func TestStepWhoseBuilderHasEndedSinceItWasSeen(t *testing.T) {
	b := newBench(t, longTimeouts)
	builder, process := startChild(t, ""), startChild(t, "")
	held := builder.owner(t).Handle
	defer held.Close()
	builder.end()
	builder.wait()
	b.Observe(context.Background(), Sighting{Monitor: held, Builder: held, Processes: newFakeStep(t, process)})
	if e := b.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("it ended by %s", e.reason)
	}
	process.wait()
}

// TestStepWhoseMonitorHasEndedSinceItWasSeen is kept for as long as its builder lives:
// that may be about to end, too.
func TestStepWhoseMonitorHasEndedSinceItWasSeen(t *testing.T) {
	b := newBench(t, longTimeouts)
	monitor, builder, process := startChild(t, ""), startChild(t, ""), startChild(t, "")
	step := Sighting{Monitor: monitor.owner(t).Handle, Builder: builder.owner(t).Handle, Processes: newFakeStep(t, process)}
	defer step.Monitor.Close()
	defer step.Builder.Close()
	monitor.end()
	monitor.wait()
	b.Observe(context.Background(), step)
	list := b.List()
	if len(list) != 1 || list[0].State != api.StateUnsure || list[0].Owner.PID != builder.Process.Pid || list[0].Owner.Exited {
		t.Fatalf("listed: %+v", list)
	}
	detail, err := b.Detail(context.Background(), list[0].ID)
	if err != nil || !strings.Contains(detail.Explanation.Verdict, "its builder lives") {
		t.Errorf("explained: %+v, %v", detail.Explanation, err)
	}
	if !process.alive() {
		t.Error("it was ended while its builder lives")
	}
	builder.end()
	if e := b.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("it ended by %s", e.reason)
	}
	process.wait()
}

func failing(context.Context, scopes.Spec) (*fakeScope, error) { return nil, errFailed }

// TestOneLookIsForAllStepsOfABuild, however many it has.
func TestOneLookIsForAllStepsOfABuild(t *testing.T) {
	process := startChild(t, "")
	o := &observed{placed: func() Scope { return nil }}
	var steps []*fakeStep
	for range 64 {
		step := newFakeStep(t)
		step.populated.Store(true) // or it would be over
		steps = append(steps, step)
		o.add(step)
	}
	steps[63].add(t, process)
	looks := func() (n int32) {
		for _, step := range steps {
			n += step.looks.Swap(0)
		}
		return n
	}
	for name, act := range map[string]func(){
		"what is alive":       func() { _ = o.live() },
		"what is shown":       func() { _ = o.Members() },
		"what is being made":  func() { _ = o.Starting() },
		"what time they used": func() { _ = o.CPUTime() },
	} {
		if act(); looks() != 1 {
			t.Errorf("%s costs another number of looks than 1", name)
		}
	}
	if busy, err := o.Busy(); !busy || err != nil || looks() != 0 {
		t.Errorf("whether it is busy: %v, %v, and it costs looks", busy, err)
	}
	if live := o.live(); len(live) != 1 || live[0].PID != process.Process.Pid {
		t.Errorf("alive are %v", live)
	}
}

// TestNobodyWaitsForALookAtTheHost: none is made with the build's lock, which placing
// and listing take too.
func TestNobodyWaitsForALookAtTheHost(t *testing.T) {
	for _, report := range []bool{false, true} {
		b := newBench(t, longTimeouts)
		b.policy.Report = report
		owner, process := startChild(t, ""), startChild(t, "")
		step := newFakeStep(t, process)
		var known atomic.Pointer[build]
		var locked atomic.Int32
		step.onLook = func() {
			if b := known.Load(); b != nil && !b.mu.TryLock() {
				locked.Add(1)
			} else if b != nil {
				b.mu.Unlock()
			}
		}
		seen := b.observe(owner.owner(t), step)
		known.Store(seen)
		owner.end()
		if report {
			b.reported()
			process.end()
		}
		b.end()
		// Others hold the lock for a moment now and then; a look under it would always.
		if looks := step.looks.Load(); looks == 0 || locked.Load() == looks {
			t.Errorf("report %v: %d looks, %d with the lock", report, looks, locked.Load())
		}
	}
}
