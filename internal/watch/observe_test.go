package watch

import (
	"context"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/owners/ownerstest"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/processes/processestest"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// newFakeStep is a step of children.
func newFakeStep(t *testing.T, children ...*child) *processestest.Step {
	t.Helper()
	step := processestest.NewStep(t)
	for _, c := range children {
		step.Add(t, c.Process.Pid)
	}
	return step
}

// observe begins a build of the owner that was seen and not placed.
func (b *bench) observe(o *owners.Owner, step processes.Followed) *build {
	b.t.Helper()
	build, err := b.buildOf(o, uint32(os.Getuid()))
	if err != nil {
		b.t.Fatal(err)
	}
	build.mu.Lock()
	build.see(step)
	build.unlock()
	return build
}

func (c *child) alive() bool { return syscall.Kill(c.Process.Pid, 0) == nil }

func TestObservedBuildIsListedAndLeftAlone(t *testing.T) {
	b := newBench(t, longTimeouts)
	owner, process := startChild(t, ""), startChild(t, "")
	b.observe(owner.owner(t), newFakeStep(t, process))
	var list []api.Build
	proctest.Eventually(t, "its processes are looked at", func() bool {
		list = b.List(anybody)
		return len(list) != 1 || list[0].Processes > 0
	})
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
	b := newBench(t, Timeouts{Kill: 100 * soon, Owner: never, OwnerTerm: never, Stop: never, CgroupKill: never})
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
	if kill := b.seen.used[0]; kill.TimedOut || kill.Error != "" || kill.Survivors != 0 {
		t.Errorf("the first rung is %+v", kill)
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
	proctest.Eventually(t, "it is one build, with the process of the step", func() bool {
		list := b.List(anybody)
		return len(list) == 1 && list[0].Placement == api.PlacementScope && list[0].Processes == 1
	})
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
	b.Orphaned(Sighting{Seen: owners.Seen{UID: 1000}, Processes: newFakeStep(t, process)})
	list := b.List(anybody)
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
	proctest.Eventually(t, "the list is empty", func() bool { return len(b.List(anybody)) == 0 })
}

// TestStepWhoseBuilderHasEndedSinceItWasSeen is abandoned.
func TestStepWhoseBuilderHasEndedSinceItWasSeen(t *testing.T) {
	b := newBench(t, longTimeouts)
	builder, process := startChild(t, ""), startChild(t, "")
	held := builder.owner(t).Handle
	defer held.Close()
	builder.end()
	builder.wait()
	b.Observe(context.Background(), Sighting{Seen: owners.Seen{Monitor: held, Builder: held}, Processes: newFakeStep(t, process)})
	if e := b.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("it ended by %s", e.reason)
	}
	process.wait()
}

// TestStepThatBeginsWhileItsBuildIsEndedIsEndedToo: the ladder has passed its rung.
func TestStepThatBeginsWhileItsBuildIsEndedIsEndedToo(t *testing.T) {
	b := newBench(t, longTimeouts)
	_, caller := ownerstest.Start(t, "podman", podman.OCIMonitor, "build")
	monitor, err := caller.Parent()
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	builder, err := monitor.Parent()
	if err != nil {
		t.Fatal(err)
	}
	defer builder.Close()
	first, late := startChild(t, ""), startChild(t, "")
	see := func(c *child) {
		seen := owners.Seen{Monitor: monitor, Builder: builder, UID: uint32(os.Getuid())}
		if !b.Observe(context.Background(), Sighting{Seen: seen, Processes: newFakeStep(t, c)}) {
			t.Fatal("it was not taken up")
		}
	}
	see(first)
	build := b.all()[0]
	build.send(message{event: lifecycle.StopRequested})
	first.wait()
	proctest.Eventually(t, "its owner tidies up", func() bool { return build.current().Stage == lifecycle.StageTidy })
	see(late)
	ended := make(chan syscall.WaitStatus, 1)
	go func() { ended <- late.wait() }()
	select {
	case status := <-ended:
		if status.Signal() != syscall.SIGKILL {
			t.Errorf("it ended by %v", status)
		}
	case <-time.After(never):
		t.Error("it goes on")
	}
}

// TestStepWhoseMonitorHasEndedSinceItWasSeen is kept for as long as its builder lives:
// that may be about to end, too.
func TestStepWhoseMonitorHasEndedSinceItWasSeen(t *testing.T) {
	b := newBench(t, longTimeouts)
	monitor, builder, process := startChild(t, ""), startChild(t, ""), startChild(t, "")
	step := Sighting{Seen: owners.Seen{Monitor: monitor.owner(t).Handle, Builder: builder.owner(t).Handle}, Processes: newFakeStep(t, process)}
	defer step.Monitor.Close()
	defer step.Builder.Close()
	monitor.end()
	monitor.wait()
	b.Observe(context.Background(), step)
	list := b.List(anybody)
	if len(list) != 1 || list[0].State != api.StateUnsure || list[0].Owner.PID != builder.Process.Pid || list[0].Owner.Exited {
		t.Fatalf("listed: %+v", list)
	}
	detail, err := b.Detail(list[0].ID)
	if err != nil || detail.Verdict != api.VerdictBuilderLives {
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
		step.OnLook = func() {
			if b := known.Load(); b != nil && !b.mu.TryLock() {
				locked.Add(1)
			} else if b != nil {
				b.mu.Unlock() // +checklocksforce: it was tried
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
		if looks := step.Looks.Load(); looks == 0 || locked.Load() == looks {
			t.Errorf("report %v: %d looks, %d with the lock", report, looks, locked.Load())
		}
	}
}

// TestEmptyCgroupsOfContainersAreRemoved when their build is gone, also where that
// does not work at once; a scope is left to systemd.
func TestEmptyCgroupsOfContainersAreRemoved(t *testing.T) {
	b := newBench(t, longTimeouts)
	owner, first, second := startChild(t, ""), startChild(t, ""), startChild(t, "")
	b.Cgroups.Left = 1
	steps := []*processestest.Step{newFakeStep(t, first), newFakeStep(t, second)}
	steps[0].CgroupID = proc.CgroupID{Path: "/buildah-buildah1", Inode: 1}
	steps[1].CgroupID = proc.CgroupID{Path: "/system.slice/crun-buildah-buildah2.scope", Inode: 2}
	b.observe(owner.owner(t), steps[0])
	b.observe(owner.owner(t), steps[1])
	owner.end()
	b.end()
	proctest.Eventually(t, "the cgroup is removed", func() bool {
		_, removed := b.Cgroups.Did()
		return slices.Equal(removed, []string{"/buildah-buildah1"})
	})
	if killed, _ := b.Cgroups.Did(); len(killed) != 0 {
		t.Errorf("killed in their place: %v", killed)
	}
}

// TestBuildIsNotGoneWithSomebodyUnseenInItsCgroup: a process that starts the next and
// ends is found by no look. The ladder goes on to the cgroup, and there again and
// again where the kernel did not freeze it in time.
func TestBuildIsNotGoneWithSomebodyUnseenInItsCgroup(t *testing.T) {
	b := newBench(t, Timeouts{Kill: soon, Owner: soon, OwnerTerm: soon, Stop: soon, CgroupKill: never})
	owner, step := startChild(t, ""), newFakeStep(t, startChild(t, ""))
	step.CgroupID = proc.CgroupID{Path: "/buildah-buildah1", Inode: 1}
	step.Unseen.Store(true)
	tries := 0
	b.Cgroups.Kill = func() error {
		if tries++; tries < 3 {
			return scopes.ErrShared
		}
		step.Unseen.Store(false)
		return nil
	}
	b.observe(owner.owner(t), step)
	owner.end()
	b.end()
	if step.Populated() || tries != 3 {
		t.Errorf("it is gone after %d tries, with somebody in its cgroup: %v", tries, step.Populated())
	}
}

// TestStrangerInAContainersCgroupKeepsNoBuild: nothing is done to him, and when
// nothing else is left the build is gone.
func TestStrangerInAContainersCgroupKeepsNoBuild(t *testing.T) {
	b := newBench(t, Timeouts{Kill: soon, Owner: soon, OwnerTerm: soon, Stop: soon, CgroupKill: 10 * soon})
	owner, step := startChild(t, ""), newFakeStep(t, startChild(t, ""))
	step.CgroupID = proc.CgroupID{Path: "/buildah-buildah1", Inode: 1}
	step.Unseen.Store(true)
	b.Cgroups.Kill = func() error { return scopes.ErrShared }
	b.observe(owner.owner(t), step)
	owner.end()
	b.end()
	if !step.Populated() {
		t.Error("something was done to him")
	}
}
