package watch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Cgroups acts on cgroups that the OCI runtime has made: package scopes.
type Cgroups interface {
	KillForeign(ctx context.Context, own proc.CgroupID, ours func() (pids map[int]bool)) error
	RemoveForeign(own proc.CgroupID) error
}

// killOwn ends what is in the steps' own cgroups, where that is known to be the
// build's. Where it is not, they are ended one by one all the same.
func (o *observed) killOwn(ctx context.Context) {
	for _, step := range o.all() {
		own, verified, known := step.Own()
		if !known || !verified {
			continue
		}
		if o.killCgroup(ctx, own, step) {
			continue
		}
		o.mu.Lock()
		if o.shared == nil {
			o.shared = map[proc.CgroupID]bool{}
		}
		o.shared[own] = true
		o.mu.Unlock()
	}
}

// killCgroup is false where somebody else is in the cgroup as well. It is tried for
// as long as there is time: a kernel that has much to do may freeze a process that
// starts others too late for the look at them all.
func (o *observed) killCgroup(ctx context.Context, own proc.CgroupID, step Followed) bool {
	for {
		err := o.cgroups.KillForeign(ctx, own, func() map[int]bool {
			ours := map[int]bool{}
			step.Look()
			for _, h := range step.Alive() {
				ours[h.PID] = true
			}
			return ours
		})
		if !errors.Is(err, scopes.ErrShared) {
			return true
		}
		select {
		case <-time.After(recheckPause):
		case <-ctx.Done():
			return false
		}
	}
}

// unseenPause is between two looks for what no look has found.
const unseenPause = 100 * time.Millisecond

// unseen tells whether a step's own cgroup has a process in it though none was found,
// and nobody else is known to be in it.
func (o *observed) unseen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.steps, func(step Followed) bool {
		own, _, _ := step.Own()
		return !o.shared[own] && step.Populated()
	})
}

// removeTime is how long the end of the steps' monitors is awaited, which would
// remove their cgroups by themselves.
const removeTime, removePause = 2 * time.Second, 50 * time.Millisecond

// removeCgroups removes the empty cgroups that nobody is left to remove: with the
// cgroupfs manager that is the OCI runtime, which its monitor calls.
func (o *observed) removeCgroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	for {
		o.look() // for Over to know
		o.mu.Lock()
		o.dropOver()
		left, emptied := len(o.steps), slices.Clone(o.emptied)
		o.mu.Unlock()
		var err error
		for _, own := range emptied {
			err = errors.Join(err, o.cgroups.RemoveForeign(own))
		}
		if left == 0 && err == nil {
			return nil
		}
		select {
		case <-time.After(removePause):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
