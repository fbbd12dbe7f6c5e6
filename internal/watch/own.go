package watch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Cgroups acts on cgroups that the OCI runtime has made: package scopes.
type Cgroups interface {
	KillForeign(own proc.CgroupID, ours func() (pids map[int]bool)) error
	RemoveForeign(own proc.CgroupID) error
}

// killOwn ends what is in the steps' own cgroups, where that is known to be the
// build's. Where it is not, they are ended one by one all the same.
func (o *observed) killOwn() {
	o.mu.Lock()
	steps := slices.Clone(o.steps)
	o.mu.Unlock()
	for _, step := range steps {
		own, verified, known := step.Own()
		if !known || !verified {
			continue
		}
		_ = o.cgroups.KillForeign(own, func() map[int]bool {
			ours := map[int]bool{}
			for _, h := range step.Live() {
				ours[h.PID] = true
			}
			return ours
		})
	}
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
		_ = o.live() // a look, for Over to know
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
