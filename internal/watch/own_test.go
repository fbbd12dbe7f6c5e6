package watch

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// fakeCgroups writes down what is done to cgroups that are not ours.
type fakeCgroups struct {
	mu              sync.Mutex
	killed, removed []string
	left            int          // how often a removal fails
	kill            func() error // instead, if it is set
}

func (f *fakeCgroups) KillForeign(ctx context.Context, own proc.CgroupID, ours func() map[int]bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kill != nil {
		return f.kill()
	}
	if known := ours(); len(known) != 1 || known[os.Getpid()] {
		return errFailed
	}
	f.killed = append(f.killed, own.Path)
	return nil
}

func (f *fakeCgroups) RemoveForeign(own proc.CgroupID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left > 0 {
		f.left--
		return errFailed
	}
	f.removed = append(f.removed, own.Path)
	return nil
}

func (f *fakeCgroups) did() (killed, removed []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.killed), slices.Clone(f.removed)
}

// TestEmptyCgroupsOfContainersAreRemoved when their build is gone, also where that
// does not work at once; a scope is left to systemd.
func TestEmptyCgroupsOfContainersAreRemoved(t *testing.T) {
	b := newBench(t, longTimeouts)
	owner, first, second := startChild(t, ""), startChild(t, ""), startChild(t, "")
	b.foreign.left = 1
	steps := []*fakeStep{newFakeStep(t, first), newFakeStep(t, second)}
	steps[0].own = proc.CgroupID{Path: "/buildah-buildah1", Inode: 1}
	steps[1].own = proc.CgroupID{Path: "/system.slice/crun-buildah-buildah2.scope", Inode: 2}
	b.observe(owner.owner(t), steps[0])
	b.observe(owner.owner(t), steps[1])
	owner.end()
	b.end()
	eventually(t, "the cgroup is removed", func() bool {
		_, removed := b.foreign.did()
		return slices.Equal(removed, []string{"/buildah-buildah1"})
	})
	if killed, _ := b.foreign.did(); len(killed) != 0 {
		t.Errorf("killed in their place: %v", killed)
	}
}

// TestCgroupKillOfTheUngathered is used on a cgroup that is known to be the step's,
// not on one that is only called so.
func TestCgroupKillOfTheUngathered(t *testing.T) {
	process := startChild(t, "")
	known, named := newFakeStep(t, process), newFakeStep(t)
	known.own, named.own, named.named = proc.CgroupID{Path: "/known"}, proc.CgroupID{Path: "/named"}, true
	cgroups := &fakeCgroups{}
	o := &observed{steps: []Followed{known, named}, cgroups: cgroups}
	ctx, cancel := context.WithTimeout(context.Background(), never)
	defer cancel()
	if err := o.CgroupKill(ctx); err != nil {
		t.Error(err)
	}
	process.wait()
	if killed, _ := cgroups.did(); !slices.Equal(killed, []string{"/known"}) {
		t.Errorf("killed: %v", killed)
	}
}

// TestBuildIsNotGoneWithSomebodyUnseenInItsCgroup: a process that starts the next and
// ends is found by no look. The ladder goes on to the cgroup, and there again and
// again where the kernel did not freeze it in time.
func TestBuildIsNotGoneWithSomebodyUnseenInItsCgroup(t *testing.T) {
	b := newBench(t, Timeouts{Kill: soon, Owner: soon, OwnerTerm: soon, Stop: soon, CgroupKill: never})
	owner, step := startChild(t, ""), newFakeStep(t, startChild(t, ""))
	step.own = proc.CgroupID{Path: "/buildah-buildah1", Inode: 1}
	step.populated.Store(true)
	tries := 0
	b.foreign.kill = func() error {
		if tries++; tries < 3 {
			return scopes.ErrShared
		}
		step.populated.Store(false)
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
	step.own = proc.CgroupID{Path: "/buildah-buildah1", Inode: 1}
	step.populated.Store(true)
	b.foreign.kill = func() error { return scopes.ErrShared }
	b.observe(owner.owner(t), step)
	owner.end()
	b.end()
	if !step.Populated() {
		t.Error("something was done to him")
	}
}
