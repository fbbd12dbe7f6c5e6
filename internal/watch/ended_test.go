package watch

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// TestWhatIsToldOfAnEndedBuild: who asked, what it had used, which processes were there
// as its end began, and which rungs they took.
func TestWhatIsToldOfAnEndedBuild(t *testing.T) {
	w := newBench(t, Timeouts{Kill: never, Owner: soon, OwnerTerm: never, Stop: never, CgroupKill: never})
	w.script = func(s *fakeScope) { s.members = []scopes.Member{{PID: os.Getpid()}} }
	c := startChild(t, "")
	b, _ := w.run(c.owner(t))
	if _, err := w.Stop(t.Context(), b.id, 1234, api.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	e := <-w.past
	if e.ID != b.id || e.Reason != api.ReasonStopped || e.AskedBy == nil || *e.AskedBy != 1234 || e.CPUSeconds != 1 || e.Scope == "" ||
		e.ProcessesEnded[api.NativeArch] != 1 || e.Arch == nil || e.EndedAt.Before(e.CreatedAt) || e.EndingSeconds <= 0 || e.Survivors != 0 || e.MemoryPeakBytes != 1<<20 || e.OOMKills != 1 {
		t.Errorf("told of %+v", e)
	}
	if !slices.ContainsFunc(e.Rungs, func(r api.EndedRung) bool { return r.Rung == api.RungKill }) {
		t.Errorf("told of the rungs %+v", e.Rungs)
	}
}

func TestCompletedBuildIsToldOfToo(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	s.set(func() { s.busy = false })
	c.end()
	w.end()
	e := <-w.past
	if e.ID != b.id || e.Reason != api.ReasonCompleted || e.AskedBy != nil || len(e.ProcessesEnded) != 0 || len(e.Rungs) != 0 || e.CPUSeconds != 1 {
		t.Errorf("told of %+v", e)
	}
}

// TestUsedTimeIsOfAllScopes that the build had, one in the place of the other.
func TestUsedTimeIsOfAllScopes(t *testing.T) {
	b := &build{}
	held := processes.Set{Scope: newFakeScope(scopes.Spec{})}
	for _, seconds := range []float64{3, 5, 0, 2, 4, 0} { // 0: it is gone
		b.use(held, time.Duration(seconds*float64(time.Second)), []string{"aarch64"})
	}
	if got := b.spent.before + b.spent.cpu; got != 9*time.Second || len(b.spent.arch) != 1 {
		t.Errorf("it has used %v, of %v", got, b.spent.arch)
	}
}
