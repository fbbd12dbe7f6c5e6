package processes

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
	// KillForeign returns for each what has come of it.
	KillForeign(ctx context.Context, own []proc.CgroupID, ours func() (pids map[int]bool)) []error
	RemoveForeign(own proc.CgroupID) error
}

// killOwn ends what is in the steps' own cgroups, where that is known to be the
// build's. Where it is not, they are ended one by one all the same. It is tried for as
// long as there is time: a kernel that has much to do may freeze a process that starts
// others too late for the look at them all.
func (o *Unplaced) killOwn(ctx context.Context) {
	var left []proc.CgroupID
	for _, step := range o.all() {
		if own, verified, known := step.Own(); known && verified {
			left = append(left, own)
		}
	}
	for len(left) > 0 {
		var shared []proc.CgroupID // somebody else is in it as well
		for i, err := range o.of.Host.KillForeign(ctx, left, o.ours) {
			if errors.Is(err, scopes.ErrShared) {
				shared = append(shared, left[i])
			}
		}
		left = shared
		if len(left) == 0 || sleep(ctx, recheckPause) {
			continue
		}
		o.mu.Lock()
		for _, own := range left {
			o.shared[own] = true
		}
		o.mu.Unlock()
		return
	}
}

// ours looks, and returns what is the build's.
func (o *Unplaced) ours() (pids map[int]bool) {
	pids = map[int]bool{}
	for _, h := range o.look() {
		pids[h.PID] = true
	}
	return pids
}

// sleep reports whether the time was slept, and not cut off by the context's end.
func sleep(ctx context.Context, pause time.Duration) bool {
	select {
	case <-time.After(pause):
		return true
	case <-ctx.Done():
		return false
	}
}

// unseenPause is between two looks for what no look has found.
const unseenPause = 100 * time.Millisecond

// unseen reports whether a step's own cgroup has a process in it though none was found,
// and nobody else is known to be in it.
func (o *Unplaced) unseen() bool {
	return slices.ContainsFunc(o.all(), func(step Followed) bool {
		own, _, _ := step.Own()
		o.mu.Lock()
		shared := o.shared[own]
		o.mu.Unlock()
		return !shared && step.Populated()
	})
}

// removeTime is how long the end of the steps' monitors is awaited, which would
// remove their cgroups by themselves.
const removeTime, removePause = 2 * time.Second, 50 * time.Millisecond

// RemoveCgroups removes the empty cgroups that nobody is left to remove: with the
// cgroupfs manager that is the OCI runtime, which its monitor calls.
func (o *Unplaced) RemoveCgroups(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	for {
		o.look() // for Over to know
		o.DropOver()
		o.mu.Lock()
		left, emptied := len(o.steps), slices.Clone(o.emptied)
		o.mu.Unlock()
		var err error
		for _, own := range emptied {
			err = errors.Join(err, o.of.Host.RemoveForeign(own))
		}
		if left == 0 && err == nil {
			return nil
		}
		if !sleep(ctx, removePause) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
