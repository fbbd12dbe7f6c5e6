package watch

import (
	"context"
	"errors"
	"fmt"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// Run asks for a build whose command is in its scope as well, from its first instruction.
type Run struct {
	Name    string         // has passed limits.CheckName, or is empty
	Spec    processes.Spec // its limits alone: the rest is filled in
	Program string         // path of buildwatchctl: no other program is served
}

// ErrPart is returned for a caller that is part of a build.
var ErrPart = errors.New("the caller is part of a build already")

// Run begins a build whose owner is the caller, and moves it into the build's
// scope. The caller is a buildwatchctl that is about to become the build's command;
// its parent, another, waits for it: when that ends first, nobody wants the build.
//
// The error is ErrPart, ErrTooMany, an EndedError, or what packages owners and scopes
// return, wrapped. In every case of failure the caller is where it was.
func (w *Watcher) Run(ctx context.Context, caller owners.Caller, run Run) (api.Build, error) {
	o, err := w.owners.OfRun(caller, run.Program)
	if err != nil {
		return api.Build{}, err
	}
	b, err := w.beginRun(o, caller, run)
	if err != nil {
		return api.Build{}, err
	}
	if err := b.startRun(ctx, caller, run); err != nil {
		w.forget(b)
		b.stop()
		return api.Build{}, err
	}
	w.metrics.BuildStarted(api.ModeRun)
	b.log.WithFields(logrus.Fields{"unit": b.processes().Unit(), "pid": b.record.Outermost().PID, "uid": b.record.UID}).
		Infof("Build %s is watched: a command of UID %d", b.id, b.record.UID)
	w.running.Go(b.learnCommand)
	w.read(b)
	view, _ := b.view()
	return view, nil
}

// holding returns the build whose scope the cgroup belongs to, or nil.
func (w *Watcher) holding(cgroup string) *build {
	for _, b := range w.all() {
		if scope := b.processes().Scope; scope != nil && scope.Holds(cgroup) {
			return b
		}
	}
	return nil
}

// beginRun adds the build to the list. It takes the owner over.
func (w *Watcher) beginRun(o *owners.Owner, caller owners.Caller, run Run) (*build, error) {
	where, err := caller.Cgroup()
	if err != nil {
		o.Close()
		return nil, err
	}
	release, ok := w.owners.Place(o, caller.UID)
	switch {
	case w.holding(where) != nil:
		o.Close()
		release()
		return nil, ErrPart // to leave that build's scope would be to leave its limits
	case !ok:
		o.Close()
		return nil, fmt.Errorf("%w of UID %d, or of all users", ErrTooMany, caller.UID)
	}
	r := owners.NewRecord(w.freeID(), o, caller.UID)
	r.Name = run.Name
	if end := run.Spec.Limits.RuntimeMax; end > 0 {
		r.DeadlineUSec = (monotonic() + end).Microseconds()
	}
	b := w.makeBuild(r, o, processes.Set{}, release)
	if w.addNew(b) != b {
		b.drop()
		return nil, ErrPart
	}
	b.begin()
	return b, nil
}

// startRun makes the build's scope, and moves the caller into it.
func (b *build) startRun(ctx context.Context, caller owners.Caller, run Run) (err error) {
	spec := run.Spec
	spec.ID, spec.User, spec.Mode, spec.GID, spec.Record, spec.Command = b.id, b.user, api.ModeRun, caller.GID, b.record.Encode(), true
	spec.Grace = b.watcher.timeouts.Kill + b.watcher.timeouts.Owner
	if caller.UID != 0 {
		// The command would be where it was started. Root's containers would not.
		if spec.Beside, err = caller.Cgroup(); err != nil {
			return err
		}
	}
	s, err := processes.Start(ctx, b.watcher.host, spec, b.owner.Handle, nil)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.unlock()
	err = EndedError{b.status.Reason}
	if b.status.Open() {
		err = s.EnterCommand(caller.PID, func() error {
			// Looked at again: it may have given up, and have become the command,
			// which then runs unwatched, as its buildwatchctl knows.
			return errors.Join(caller.Runs(run.Program), context.Cause(ctx))
		}, caller.Alive)
	}
	if err != nil {
		b.watcher.running.Go(func() {
			s.Discard(b.watcher.life)
			s.Close()
		})
		return err
	}
	b.held.Scope = s
	b.watcher.wantMeasure(b)
	b.learnLimits(s.Bounded())
	b.watchShortages(s, nil)
	b.tell(api.Event{Kind: api.EventStarted})
	return nil
}

// runOf returns the build of ModeRun that the owner is part of, or nil: the one whose
// scope it is in, by the kernel's word, or whose owner is among its ancestors. Several
// builders may belong to one.
func (w *Watcher) runOf(o *owners.Owner, uid uint32) *build {
	if !w.anyRun(uid) {
		return nil
	}
	if where, err := o.Cgroup(); err == nil {
		if b := w.holding(where); b != nil && b.isRunOf(uid) {
			return b
		}
	}
	for above := range o.Lineage() {
		if b := w.ownedBy(owners.Key{Owner: above}); b != nil && b.isRunOf(uid) {
			return b
		}
	}
	return nil
}

// buildFor returns the build that a step of the owner belongs to: the run that it
// is part of, and as which of its builders, or the owner's own. It takes the owner over.
func (w *Watcher) buildFor(o *owners.Owner, uid uint32) (*build, *guest, error) {
	if b := w.runOf(o, uid); b != nil {
		return b, b.guestOf(o), nil
	}
	b, err := w.buildOf(o, uid)
	return b, nil, err
}

func (b *build) isRunOf(uid uint32) bool {
	return b.record.Mode == api.ModeRun && b.record.UID == uid
}

func (w *Watcher) anyRun(uid uint32) bool {
	for _, b := range w.all() {
		if b.isRunOf(uid) {
			return true
		}
	}
	return false
}

// learnCommand finds out what the owner has become: it is still buildwatchctl when
// it is placed.
func (b *build) learnCommand() {
	command := b.watcher.owners.CommandOf(b.life, b.owner)
	if command == "" {
		return
	}
	b.mu.Lock()
	defer b.unlock()
	b.command = command
	if b.status.OwnerLives {
		b.learn(b.ownerFact(api.ValueLives))
	}
}
