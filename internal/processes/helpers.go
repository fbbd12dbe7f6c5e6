package processes

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Helper is a process outside of the build that serves its storage.
type Helper interface {
	// End ends it, if nobody else uses what it serves; patience is the time that it
	// has after SIGTERM.
	End(ctx context.Context, patience time.Duration) (ended bool, err error)
	Close()
}

// helperTime is how long the look for helpers may hold back the kill of the
// containers, without which they can't be found.
const helperTime = 50 * time.Millisecond

// Served lists the users' roots of the processes' storage that helpers serve. Only the
// containers' mount tables say which, while there is a process to ask.
func Served(ctx context.Context, examiner Examiner, of Set) []uint32 {
	ctx, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	roots, err := examiner.ServedRoots(ctx, of.PIDs())
	if err != nil {
		return nil
	}
	return roots
}

// Helpers are those of one build's storage.
type Helpers struct {
	found   chan struct{} // closed when all are known
	all     []Helper
	problem error
}

// FindHelpers takes hold, in the background that run begins, of who serves the roots for
// the builders.
func FindHelpers(ctx context.Context, run func(func()), examiner Examiner, uid uint32, builders []proc.Identity, roots []uint32) *Helpers {
	h := &Helpers{found: make(chan struct{})}
	run(func() {
		defer close(h.found)
		h.all, h.problem = examiner.Helpers(ctx, uid, builders, roots)
	})
	return h
}

// End ends them, and returns how many have ended.
func (h *Helpers) End(ctx context.Context, patience time.Duration) (ended int, err error) {
	select {
	case <-h.found:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	var ending sync.WaitGroup
	done, failed := make([]bool, len(h.all)), make([]error, len(h.all))
	for i, helper := range h.all {
		ending.Go(func() { done[i], failed[i] = helper.End(ctx, patience) })
	}
	ending.Wait()
	for _, one := range done {
		if one {
			ended++
		}
	}
	return ended, errors.Join(h.problem, errors.Join(failed...))
}

// Close lets go of them. It waits for the look, which the context of FindHelpers ends.
func (h *Helpers) Close() {
	if h == nil {
		return
	}
	<-h.found
	for _, helper := range h.all {
		helper.Close()
	}
}
