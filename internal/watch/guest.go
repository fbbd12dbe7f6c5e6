package watch

import (
	"context"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// guest is one of the builders of a run, which may have several, or one request of an API
// service that runs in it. The run goes on when it has ended; what it has left is ended then.
// The build's lock guards it.
type guest struct {
	owner      *owners.Owner
	over       api.Reason           // "" while somebody wants it
	containers []string             // of its steps, the newest last
	steps      []processes.Followed // those that were not placed
}

// maxGuestContainers is how many of a guest's containers are remembered: as many steps may run
// at once.
const maxGuestContainers = 1024

// guestOf takes the owner of a step in the run over. It returns nil for the run's own.
func (b *build) guestOf(o *owners.Owner) *guest {
	key := o.Key()
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.guests[key]
	if g != nil || b.life.Err() != nil || o.Request == nil && o.Identity == b.record.Owner {
		o.Close()
		return g
	}
	g = &guest{owner: o}
	b.guests[key] = g
	b.watcher.running.Go(func() { b.followGuest(key, g) })
	return g
}

// followGuest ends what a guest leaves, for as long as it, or the run, is there.
func (b *build) followGuest(key owners.Key, g *guest) {
	ctx, cancel := context.WithCancel(b.life)
	ends := make(chan api.Reason, len(g.owner.Waiters)+2) // one for each that is waited for
	gone := make(chan struct{})
	b.watcher.running.Go(func() {
		defer g.owner.Handle.Close()
		if g.owner.Wait(ctx) == nil {
			ends <- api.ReasonOwnerExited
			close(gone)
		}
	})
	for _, waiter := range g.owner.Waiters {
		b.watcher.running.Go(func() {
			defer waiter.Close()
			// As in watchWaiter: one that has waited to the end is no news.
			if waiter.Wait(ctx) == nil {
				ends <- api.ReasonOwnerExited
			}
		})
	}
	if g.owner.Request != nil {
		b.watcher.running.Go(func() {
			if b.watcher.owners.FollowRequest(ctx, g.owner, func(owners.News) {}) == nil {
				ends <- api.ReasonClientDisconnected
			}
		})
	}
	select {
	case why := <-ends:
		b.endGuest(g, why)
		if g.owner.Request == nil {
			select { // one whose waiter has ended has no step any more
			case <-gone:
			case <-ctx.Done():
			}
		}
	case <-ctx.Done():
	}
	cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.guests, key)
}

// guestTime is how long it is looked for what a guest has left: a container that was being
// made as its builder ended has no cgroup before it is. The first pauses are short.
const guestTime, guestPause = 10 * time.Second, 5 * time.Millisecond

// endGuest ends what a guest has left, unless the run is ended anyway, or all that is
// abandoned is left alone.
func (b *build) endGuest(g *guest, why api.Reason) {
	b.mu.Lock()
	now, held := b.status, b.held
	leave := now.ReportOnly || !now.State.Wanted()
	if !leave {
		g.over = why
	}
	containers, steps := g.containers, g.steps
	b.mu.Unlock()
	if leave || held.Scope == nil {
		return
	}
	ctx, cancel := context.WithTimeout(b.life, guestTime)
	defer cancel()
	b.log.Debugf("Build %s: a builder in it is over (%s): ending its steps", b.id, why)
	for pause := guestPause; ; pause *= 2 {
		if err := held.KillPart(ctx, containers, steps); err != nil && ctx.Err() == nil {
			b.log.WithError(err).Warnf("Build %s: steps of a builder in it that is over could not be ended", b.id)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// findGuests finds the builders again whose steps an earlier daemon has placed in the run.
// Whose a step is that has lost its builder since can't be told: it ends with the run.
func (b *build) findGuests() {
	held := b.processes()
	for container, first := range held.Containers() {
		o, err := b.watcher.owners.OfStep(b.life, first.PID, first.Cgroup, b.record.UID)
		if err != nil {
			b.log.WithError(err).Debugf("Build %s: the builder of one of its steps is not found again", b.id)
			continue
		}
		g := b.guestOf(o)
		b.mu.Lock()
		over := b.admit(g, container)
		b.mu.Unlock()
		if over != nil {
			_ = held.KillPart(b.life, []string{container}, nil)
		}
	}
}

// admit is the answer to a step of the guest, which may be nil, that is about to begin in the
// container. It is called with the lock.
//
// +checklocks:b.mu
func (b *build) admit(g *guest, container string) error {
	if g == nil {
		return nil
	}
	if g.over != "" {
		return EndedError{g.over}
	}
	g.containers = append(slices.Clone(g.containers[max(0, len(g.containers)-maxGuestContainers+1):]), container)
	return nil
}

// seeOfGuest adds a step that was not placed to its guest, which may be nil.
func (b *build) seeOfGuest(g *guest, step processes.Followed) {
	if g == nil {
		return
	}
	b.mu.Lock()
	g.steps = append(slices.Clone(g.steps), step)
	over, held := g.over, b.held
	b.mu.Unlock()
	if over != "" {
		b.watcher.running.Go(func() {
			ctx, cancel := context.WithTimeout(b.life, b.watcher.timeouts.Kill)
			defer cancel()
			_ = held.KillPart(ctx, nil, []processes.Followed{step})
		})
	}
}
