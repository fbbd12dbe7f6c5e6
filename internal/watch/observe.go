package watch

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Sighting is a step that did not come through the wrapper.
type Sighting struct {
	// Monitor and Builder were seen alive, as a monitor and its parent, when the
	// processes were; nil for orphans of whom that can't be said. They stay the
	// caller's.
	Monitor, Builder *proc.Handle
	UID              uint32
	Processes        processes.Followed
}

// Observe takes up a step that was seen: as part of its owner's build, which may
// have a scope for other steps, or as a new one. A step whose builder has ended
// since it was seen is abandoned. It reports false where its user, or all users, have
// too many builds: the step is to be shown again.
func (w *Watcher) Observe(ctx context.Context, s Sighting) bool {
	limit, cancel := context.WithTimeout(ctx, ownerLimit)
	defer cancel()
	o, err := w.ownerSeen(limit, s)
	if err != nil {
		return w.ownerless(s)
	}
	b, err := w.buildFor(o, s.UID)
	if err != nil {
		w.log.WithError(err).Debug("A step that was seen is left alone")
		return false
	}
	b.mu.Lock()
	over := !b.status.Open()
	b.see(s.Processes)
	seen := b.held.Unplaced
	b.mu.Unlock()
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

// ownerSeen finds the owner by descriptors of its own.
func (w *Watcher) ownerSeen(ctx context.Context, s Sighting) (*owner, error) {
	monitor, err := proc.Find(s.Monitor.Identity)
	if err != nil {
		return nil, err
	}
	builder, err := proc.Find(s.Builder.Identity)
	if err != nil {
		monitor.Close()
		return nil, err
	}
	return w.settleOwner(ctx, monitor, builder, s.UID)
}

// Orphaned takes up processes that look like a step's, and that nobody saw under
// a builder. Whether anybody wants them can't be told: they are shown, and ended
// when their user asks for it. What it reports is as in Observe.
func (w *Watcher) Orphaned(s Sighting) bool { return w.takeUp(s, record{}, nil) }

// ownerless takes up a step of whose builder nothing more can be learnt than whether
// it lives: the builder, or the monitor, has ended or is about to. While it lives it
// can't be told who wants the rest, and so that is kept; when it has ended nobody can.
func (w *Watcher) ownerless(s Sighting) bool {
	builder, err := proc.Find(s.Builder.Identity)
	switch {
	case err == nil:
		return w.takeUp(s, record{Owner: s.Builder.Identity}, &owner{Handle: builder, mode: api.ModeUnknown, spared: true})
	case s.Builder.Alive():
		return w.Orphaned(s)
	default:
		return w.takeUp(s, record{Owner: s.Builder.Identity}, nil)
	}
}

// takeUp makes a build of processes that can't be said to be any other's. r says what
// is known of their owner; o is nil unless it lives. One that is to be ended has a place
// in any case.
func (w *Watcher) takeUp(s Sighting, r record, o *owner) bool {
	of, abandoned := w.args.OfUID(s.UID), o == nil && r.Owner.PID != 0
	if o != nil {
		of = w.args.OfProcess(o.Handle, s.UID)
	}
	release, ok := w.places.Take(of)
	if !ok && abandoned {
		release, ok = w.places.Force(of), true
	}
	if !ok {
		if o != nil {
			o.Close()
		}
		return false
	}
	r.ID, r.UID, r.CreatedUSec, r.Mode = w.freeID(), s.UID, time.Now().UnixMicro(), api.ModeUnknown
	b := w.makeBuild(r, o, processes.Set{}, release)
	if !abandoned {
		b.status.State = api.StateUnsure
	}
	b.mu.Lock()
	b.see(s.Processes)
	b.mu.Unlock()
	w.add(b, false)
	b.begin()
	return true
}

// see adds a step to the build. It is called with the lock.
func (b *build) see(step processes.Followed) {
	first := b.held.None()
	if b.held.Unplaced == nil {
		r := b.record
		b.held.Unplaced = processes.NewUnplaced(processes.Origin{
			Gather:     b.watcher.gather,
			Cgroups:    b.watcher.cgroups,
			Spec:       scopes.Spec{ID: r.ID, UID: r.UID, Record: r.encode()},
			OwnerLives: func() bool { return b.owner != nil && b.owner.Alive() },
			Placed:     func() processes.Scope { return b.processes().Scope },
		})
	}
	b.held.Unplaced.Add(step)
	if first {
		b.watcher.metrics.BuildStarted(b.record.Mode)
		b.log.WithFields(logrus.Fields{"pid": b.record.outermost().PID, "uid": b.record.UID, "placement": string(api.PlacementObserved)}).
			Infof("Build %s of UID %d is observed: it did not come through the wrapper", b.id, b.record.UID)
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
