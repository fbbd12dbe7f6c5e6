package processes

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes/processestest"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// never is longer than anything here takes, but in a broken test.
const never = 10 * time.Second

func start(t *testing.T) int { return proctest.Shell(t, "").Process.Pid }

// host makes no scopes.
type host struct{ Cgroups }

func (host) Start(context.Context, scopes.Spec) (Scope, error) { return nil, scopes.ErrNoSystemd }

func (host) Granted(api.User, api.Mode) []limits.Value { return nil }

func (host) Gather(context.Context, scopes.Spec, []*proc.Handle) (Scope, error) {
	return nil, scopes.ErrNoSystemd
}

// unplaced are the processes of steps.
func unplaced(cgroups Cgroups, ownerLives bool, steps ...Followed) *Unplaced {
	o := NewUnplaced(Origin{
		Host: host{cgroups}, Placed: func() Scope { return nil }, OwnerLives: func() bool { return ownerLives },
	})
	for _, step := range steps {
		o.Add(step)
	}
	return o
}

// growingStep has another process at each of the first looks: what was started since
// the last.
type growingStep struct {
	*processestest.Step
	t    *testing.T
	left int
}

func (s *growingStep) Look() {
	if s.left > 0 {
		s.left--
		s.Add(s.t, start(s.t))
	}
}

// TestCgroupKillOfTheUngatheredGoesOnUntilNoneIsLeft, not only with those of its
// first look.
func TestCgroupKillOfTheUngatheredGoesOnUntilNoneIsLeft(t *testing.T) {
	step := &growingStep{processestest.NewStep(t), t, 5}
	ctx, cancel := context.WithTimeout(context.Background(), never)
	defer cancel()
	if err := unplaced(nil, false, step).CgroupKill(ctx); err != nil {
		t.Error(err)
	}
	if left := step.Alive(); len(left) != 0 || step.left != 0 {
		t.Errorf("%d are left, %d more would come", len(left), step.left)
	}
}

// TestCgroupKillOfTheUngathered is used on a cgroup that is known to be the step's,
// not on one that is only called so.
func TestCgroupKillOfTheUngathered(t *testing.T) {
	known, named := processestest.NewStep(t, start(t)), processestest.NewStep(t)
	known.CgroupID, named.CgroupID, named.Named = proc.CgroupID{Path: "/known"}, proc.CgroupID{Path: "/named"}, true
	cgroups := &processestest.Cgroups{}
	ctx, cancel := context.WithTimeout(context.Background(), never)
	defer cancel()
	if err := unplaced(cgroups, false, known, named).CgroupKill(ctx); err != nil {
		t.Error(err)
	}
	if killed, _ := cgroups.Did(); !slices.Equal(killed, []string{"/known"}) {
		t.Errorf("killed: %v", killed)
	}
}

// manySteps are steps of one build, the last of which has a process.
func manySteps(t *testing.T, n int) (steps []Followed, looks func() int32) {
	t.Helper()
	var all []*processestest.Step
	for i := range n {
		step := processestest.NewStep(t)
		step.CgroupID = proc.CgroupID{Path: fmt.Sprintf("/step%d", i)}
		all, steps = append(all, step), append(steps, step)
	}
	all[n-1].Add(t, start(t))
	return steps, func() (n int32) {
		for _, step := range all {
			n += step.Looks.Swap(0)
		}
		return n
	}
}

// TestOneLookIsForAllStepsOfABuild, however many it has.
func TestOneLookIsForAllStepsOfABuild(t *testing.T) {
	for _, n := range []int{1, 16, 64} {
		steps, looks := manySteps(t, n)
		o := unplaced(&processestest.Cgroups{}, true, steps...)
		ctx, cancel := context.WithTimeout(context.Background(), never)
		defer cancel()
		for _, act := range []struct {
			name string
			do   func()
			want int32
		}{
			{"what is alive", func() { _ = o.look() }, 1},
			{"what is shown", func() { _ = o.Members() }, 1},
			{"what is being made", func() { _ = o.Starting() }, 1},
			{"what time they used", func() { _ = o.CPUTime() }, 1},
			{"whether it is busy", func() { _, _ = o.Busy() }, 0},
			{"one more step", func() { o.Add(processestest.NewStep(t)) }, 0},
			{"what is over", o.DropOver, 0},
			{"whose the cgroups are", func() { o.killOwn(ctx) }, 1},
		} {
			if act.do(); looks() != act.want {
				t.Errorf("%d steps: %s costs another number of looks than %d", n, act.name, act.want)
			}
		}
	}
}

// TestBusyIsWhatTheLastLookHasFound, or a step that came since: placing asks with the
// build's lock.
func TestBusyIsWhatTheLastLookHasFound(t *testing.T) {
	process := proctest.Shell(t, "")
	o := unplaced(nil, true, processestest.NewStep(t, process.Process.Pid))
	want := func(when string, want bool) {
		t.Helper()
		if busy, err := o.Busy(); busy != want || err != nil {
			t.Errorf("%s: %v, %v", when, busy, err)
		}
	}
	want("before any look", true)
	process.End()
	process.Status()
	want("without a look", true)
	o.look()
	want("after one", false)
	late := processestest.NewStep(t)
	late.OnLook = func() { o.Add(processestest.NewStep(t)) }
	o.Add(late)
	want("with another step", true)
	o.DropOver()
	o.Add(late)
	o.look()
	want("with one that came during the look", true)
}
