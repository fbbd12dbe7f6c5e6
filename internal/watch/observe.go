package watch

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// Sighting is a step that did not come through the wrapper.
type Sighting struct {
	owners.Seen
	Processes processes.Followed
}

// Observe takes up a step that was seen: as part of its owner's build, which may
// have a scope for other steps, or as a new one. A step whose builder has ended
// since it was seen is abandoned. It reports false where its user, or all users, have
// too many builds: the step is to be shown again.
func (w *Watcher) Observe(ctx context.Context, s Sighting) bool {
	limit, cancel := context.WithTimeout(ctx, ownerLimit)
	defer cancel()
	o, err := w.owners.OfSeen(limit, s.Seen)
	if err != nil {
		return w.ownerless(s)
	}
	step := o.Step
	b, g, err := w.buildFor(o, s.UID)
	if err != nil {
		w.log.WithError(err).Debug("A step that was seen is left alone")
		return false
	}
	w.storage.StepSeen(b.id, step)
	b.mu.Lock()
	over := !b.status.Open()
	b.see(s.Processes)
	seen := b.held.Unplaced
	b.unlock()
	b.seeOfGuest(g, s.Processes)
	seen.DropOver()
	if over {
		// It was started while its build was being ended.
		w.running.Go(func() {
			b.send(message{event: lifecycle.StepRefused})
			b.endLate()
		})
	}
	return true
}

// ownerLimit bounds the look at a step's owner: its command line lies in its own memory.
const ownerLimit = time.Second

// Orphaned takes up processes that look like a step's, and that nobody saw under
// a builder. Whether anybody wants them can't be told: they are shown, and ended
// when their user asks for it. What it reports is as in Observe.
func (w *Watcher) Orphaned(s Sighting) bool { return w.takeUp(s, owners.Record{}, nil) }

// ownerless takes up a step of whose builder nothing more can be learnt than whether
// it lives: the builder, or the monitor, has ended or is about to. While it lives it
// can't be told who wants the rest, and so that is kept; when it has ended nobody can.
func (w *Watcher) ownerless(s Sighting) bool {
	o, known := s.Alone()
	if !known {
		return w.Orphaned(s)
	}
	return w.takeUp(s, owners.Record{Owner: s.Builder.Identity}, o)
}

// takeUp makes a build of processes that can't be said to be any other's. r says what
// is known of their owner; o is nil unless it lives. One that is to be ended has a place
// in any case.
func (w *Watcher) takeUp(s Sighting, r owners.Record, o *owners.Owner) bool {
	abandoned := o == nil && r.Owner.PID != 0
	release, ok := w.owners.Place(o, s.UID)
	if !ok && abandoned {
		release, ok = w.owners.ForcePlace(o, s.UID), true
	}
	if !ok {
		if o != nil {
			o.Close()
		}
		return false
	}
	r.ID, r.UID, r.CreatedUSec, r.Mode = w.freeID(), s.UID, time.Now().UnixMicro(), api.ModeUnknown
	b := w.makeBuild(r, o, processes.Set{}, release)
	b.mu.Lock()
	if !abandoned {
		b.status.State = api.StateUnsure
	}
	b.see(s.Processes)
	b.unlock()
	w.add(b, false)
	b.begin()
	return true
}

// see adds a step to the build. It is called with the lock.
//
// +checklocks:b.mu
func (b *build) see(step processes.Followed) {
	first := b.held.None()
	if b.held.Unplaced == nil {
		r := b.record
		b.held.Unplaced = processes.NewUnplaced(processes.Origin{
			Host:       b.watcher.host,
			Spec:       processes.Spec{ID: r.ID, User: b.user, Record: r.Encode()},
			OwnerLives: func() bool { return b.owner != nil && b.owner.Alive() },
			Placed:     func() processes.Scope { return b.processes().Scope },
		})
	}
	b.held.Unplaced.Add(step)
	b.watcher.wantMeasure(b)
	if first {
		b.watcher.metrics.BuildStarted(b.record.Mode)
		b.log.WithFields(logrus.Fields{"pid": b.record.Outermost().PID, "uid": b.record.UID, "placement": string(api.PlacementObserved)}).
			Infof("Build %s of UID %d is observed: its step is in no scope of its own", b.id, b.record.UID)
		b.tell(api.Event{Kind: api.EventStarted})
	}
}

// endLate ends a step that was started while its build was being ended.
func (b *build) endLate() {
	ctx, cancel := context.WithTimeout(b.watcher.life, b.watcher.timeouts.Kill)
	defer cancel()
	if err := b.processes().Unplaced.Kill(ctx); err != nil && !errors.Is(err, context.Canceled) {
		b.log.WithError(err).Warnf("Build %s: a step that was started late could not be ended", b.id)
	}
}

// waitForOrphans ends the watch over processes that nobody is known to own, when
// they have ended by themselves.
func (b *build) waitForOrphans() {
	if b.processes().WaitEmpty(b.life) == nil {
		b.send(message{event: lifecycle.Emptied})
	}
}
