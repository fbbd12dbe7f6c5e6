package watch

import (
	"context"
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// EndedError is returned for a container of a build that is over already: it
// must not start.
type EndedError struct{ Reason api.Reason }

func (e EndedError) Error() string { return "the build is over: " + e.Words() }

// Words say to the build's user why the step does not start.
func (e EndedError) Words() string {
	switch e.Reason {
	case api.ReasonStopped:
		return "somebody has asked for its end (buildwatchctl stop), so this RUN step does not start"
	case api.ReasonDeadline:
		return "the time that it was given is over, so this RUN step does not start"
	}
	return string(e.Reason) + ", so this RUN step does not start"
}

// Container is what a caller says of the container that it is about to make.
type Container struct {
	ID string // has passed wire.CheckContainerID
}

// Place is a build's scope, ready to take one container.
type Place struct {
	build       *build
	scope       processes.Door
	caller      owners.Caller
	container   string
	guest       *guest // of a run; or nil
	cgroupsPath string
}

// CgroupsPath is where the OCI runtime is to put the container.
func (p *Place) CgroupsPath() string { return p.cgroupsPath }

// Prepare finds the build that the caller's container belongs to, a new one if
// need be, and makes sure that it has a scope to be born in.
//
// The error is an EndedError, owners.ErrNoBuilder, ErrTooMany, or what package scopes returns,
// wrapped.
func (w *Watcher) Prepare(ctx context.Context, caller owners.Caller, container Container) (*Place, error) {
	o, err := w.owners.OfCaller(ctx, caller)
	if err != nil {
		return nil, err
	}
	step := o.Step
	b, g, err := w.buildFor(o, caller.UID)
	if err != nil {
		return nil, err
	}
	w.storage.StepSeen(b.id, step)
	s, err := b.ensureScope(ctx, caller)
	if err != nil {
		return nil, err
	}
	return &Place{build: b, scope: s, caller: caller, container: container.ID, guest: g, cgroupsPath: s.CgroupsPath(container.ID)}, nil
}

// Enter moves the caller into the build's scope. act is called immediately
// before; an error from it is returned and nothing is done.
func (p *Place) Enter(act func() error) error {
	// With the lock, so that the build can't be found over, and without
	// containers, between the look at its state and the move.
	p.build.mu.Lock()
	defer p.build.unlock()
	if !p.build.status.Open() {
		return p.build.refuse()
	}
	if err := p.build.admit(p.guest, p.container); err != nil {
		return err
	}
	err := p.scope.Enter(p.caller.PID, act, p.caller.Alive)
	if err == nil {
		p.build.status = p.build.status.StepBegan()
		p.build.watcher.wantMeasure(p.build)
	}
	return err
}

// ensureScope returns the build's scope, and makes it when there is none, or
// none that a container can safely join.
func (b *build) ensureScope(ctx context.Context, caller owners.Caller) (processes.Scope, error) {
	select {
	case <-b.placing:
		defer func() { b.placing <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	s, err := b.openScope()
	if err != nil {
		return nil, err
	}
	if err := b.life.Err(); err != nil {
		return nil, fmt.Errorf("the build's first scope could not be made: %w", err)
	}
	if s != nil && s.Joinable() {
		return s, nil
	}
	fresh, err := processes.Start(ctx, b.watcher.host, processes.Spec{
		ID: b.id, User: b.user, Mode: b.record.Mode, GID: caller.GID, Record: b.record.Encode(), Beside: b.owner.Beside(b.record.UID),
		InUnit: b.watcher.owners.InUnit(ctx, caller),
	}, b.owner.Handle, s)
	if err == nil && fresh == s {
		return s, nil
	}
	if err != nil {
		b.giveUp()
		return nil, err
	}
	b.mu.Lock()
	defer b.unlock()
	if !b.status.Open() {
		b.watcher.running.Go(func() {
			fresh.Discard(b.watcher.life)
			fresh.Close()
		})
		return nil, b.refuse()
	}
	first := b.held.None()
	if first {
		b.watcher.metrics.BuildStarted(b.record.Mode)
		b.log.WithFields(logrus.Fields{"unit": fresh.Unit(), "pid": b.record.Outermost().PID, "uid": b.record.UID}).
			Infof("Build %s is watched: %s of UID %d", b.id, b.record.Command, b.record.UID)
	}
	if b.held.Scope != nil {
		b.held.Scope.Close()
	}
	b.held.Scope = fresh
	b.learnLimits(fresh.Bounded())
	b.watchShortages(fresh, nil)
	if first {
		b.tell(api.Event{Kind: api.EventStarted})
	}
	return fresh, nil
}

// openScope is the build's scope, nil before its first; an EndedError for a build that is
// over.
func (b *build) openScope() (processes.Scope, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.status.Open() {
		return nil, b.refuse()
	}
	return b.held.Scope, nil
}

// giveUp forgets a build of which there is nothing: its first container could not
// be placed. If that runs unsupervised now, it will be seen as a new one.
func (b *build) giveUp() {
	b.mu.Lock()
	nothing := b.held.None()
	if nothing {
		b.stop()
	}
	b.mu.Unlock()
	if nothing {
		b.watcher.forget(b)
		// Under this ID it is over, and storage waits for that.
		b.watcher.storage.BuildOver(b.id, true)
	}
}
