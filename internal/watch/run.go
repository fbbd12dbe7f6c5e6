package watch

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Run is a build that is to be in its scope from its first instruction, its
// waiter included.
type Run struct {
	Name    string // has passed limits.CheckName, or is empty
	Limits  limits.Limits
	Program string // path of buildwatchctl: no other program is served
}

// Run begins a build whose owner is the caller, and moves it into the build's
// scope. The caller is a buildwatchctl that is about to become the build's command;
// its parent, another, waits for it, and is the build's waiter in the sense of
// owner.waiters: when it ends first, nobody wants the build.
//
// A caller that may not have this gets an *api.Error. In every case of failure it
// is where it was.
func (w *Watcher) Run(ctx context.Context, caller Caller, run Run) (api.Build, error) {
	o, err := w.ownerOfRun(caller, run.Program)
	if err != nil {
		return api.Build{}, refusal(err)
	}
	b, err := w.beginRun(o, caller, run)
	if err != nil {
		return api.Build{}, refusal(err)
	}
	if err := b.startRun(ctx, caller, run); err != nil {
		w.forget(b)
		b.stop()
		return api.Build{}, refusal(err)
	}
	w.metrics.BuildStarted(api.ModeRun)
	b.log.WithFields(logrus.Fields{"unit": scopes.UnitName(b.id), "pid": b.record.outermost().PID, "uid": b.record.UID}).
		Infof("Build %s is watched: a command of UID %d", b.id, b.record.UID)
	w.running.Go(b.learnCommand)
	view, _ := b.view()
	return view, nil
}

var (
	errNested   = errors.New("the caller is part of a build already")
	errNoWaiter = errors.New("no buildwatchctl waits for the caller")
	errNotYours = errors.New("the caller has another user's processes around it")
)

// refusal makes an answer of what the caller itself has brought about. What else
// goes wrong is for the log.
func refusal(err error) error {
	switch {
	case errors.Is(err, ErrTooMany), errors.Is(err, scopes.ErrBusy):
		return &api.Error{Code: api.CodeBusy, Message: err.Error()}
	case errors.Is(err, errNested):
		return &api.Error{Code: api.CodePart, Message: err.Error()}
	case errors.Is(err, errNoWaiter), errors.Is(err, errNotYours),
		errors.Is(err, proc.ErrOtherProgram), errors.Is(err, proc.ErrGone), errors.Is(err, scopes.ErrLeft):
		return &api.Error{Code: api.CodeRefused, Message: err.Error()}
	}
	return err
}

// ownerOfRun takes hold of the caller and of who waits for it. Nothing that the
// caller has sent is looked at.
func (w *Watcher) ownerOfRun(caller Caller, program string) (*owner, error) {
	// Before Linux 6.5 the kernel does not tell which process connected, only its
	// number then: it must be what it says it is.
	if err := caller.Runs(program); err != nil {
		return nil, err
	}
	if uid, err := caller.Handle.UID(); err != nil || uid != caller.UID {
		return nil, errors.Join(errNotYours, err)
	}
	where, err := caller.Cgroup()
	if err != nil {
		return nil, err
	}
	if w.holding(where) != nil {
		return nil, errNested // to leave that build's scope would be to leave its limits
	}
	waiter, err := caller.Parent()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoWaiter, err)
	}
	uid, uidErr := waiter.UID()
	if err := waiter.Runs(program); err != nil || uidErr != nil || uid != caller.UID {
		waiter.Close()
		return nil, errors.Join(errNoWaiter, err, uidErr)
	}
	fd, err := caller.Pidfd()
	if err != nil {
		waiter.Close()
		return nil, err
	}
	handle, err := proc.FromPidfd(caller.PID, fd)
	if err != nil {
		waiter.Close()
		return nil, err
	}
	return &owner{Handle: handle, waiters: []*proc.Handle{waiter}, mode: api.ModeRun, command: "buildwatchctl run"}, nil
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
func (w *Watcher) beginRun(o *owner, caller Caller, run Run) (*build, error) {
	release, ok := w.places.Take(w.args.OfProcess(o.Handle, caller.UID))
	if !ok {
		o.Close()
		return nil, fmt.Errorf("%w of UID %d, or of all users", ErrTooMany, caller.UID)
	}
	r := record{
		ID: w.freeID(), UID: caller.UID, CreatedUSec: time.Now().UnixMicro(), Mode: api.ModeRun,
		Owner: o.Identity, Waiters: o.waiterIdentities(), Command: o.command, Name: run.Name,
	}
	if run.Limits.RuntimeMax > 0 {
		r.DeadlineUSec = (monotonic() + run.Limits.RuntimeMax).Microseconds()
	}
	b := w.makeBuild(r, o, processes.Set{}, release)
	if w.addNew(b) != b {
		b.drop()
		return nil, errNested
	}
	b.begin()
	return b, nil
}

// startRun makes the build's scope, and moves the caller into it.
func (b *build) startRun(ctx context.Context, caller Caller, run Run) error {
	pidfd, err := b.owner.Pidfd()
	if err != nil {
		return err
	}
	defer pidfd.Close()
	spec := scopes.Spec{
		ID: b.id, UID: caller.UID, GID: caller.GID, Owner: pidfd, Record: b.record.encode(),
		Command: true, Granted: b.granted(), Limits: run.Limits.Values,
	}
	if caller.UID != 0 {
		// The command would be where it was started. Root's containers would not.
		if spec.Beside, err = caller.Cgroup(); err != nil {
			return err
		}
	}
	if run.Limits.RuntimeMax > 0 {
		// systemd's own end of a scope can't be clean, see package scopes: it is
		// for when there is no daemon, and comes when the daemon would have had
		// its time for the clean way.
		spec.RuntimeMax = run.Limits.RuntimeMax + b.watcher.timeouts.Kill + b.watcher.timeouts.Owner
	}
	s, err := b.watcher.start(ctx, spec)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err = proc.ErrGone
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
	b.learn(api.FactLimits, s.Bounded())
	b.tell(api.Event{Kind: api.EventStarted})
	return nil
}

// maxAncestors bounds the way from a builder up to the command of a run: a script,
// make, sudo and the like are between them.
const maxAncestors = 32

// runOf returns the build of ModeRun that the builder belongs to, or nil: the one
// whose scope it is in, by the kernel's word, or whose owner is among its
// ancestors. Several builders may belong to one.
func (w *Watcher) runOf(builder *proc.Handle, uid uint32) *build {
	if !w.anyRun(uid) {
		return nil
	}
	if where, err := builder.Cgroup(); err == nil {
		if b := w.holding(where); b != nil && b.isRunOf(uid) {
			return b
		}
	}
	last := builder
	defer func() {
		if last != builder {
			last.Close()
		}
	}()
	for range maxAncestors {
		if b := w.ownedBy(ownerKey{owner: last.Identity}); b != nil && b.isRunOf(uid) {
			return b
		}
		parent, err := last.Parent()
		if err != nil {
			return nil
		}
		if last != builder {
			last.Close()
		}
		last = parent
	}
	return nil
}

// buildFor returns the build that a step of the owner belongs to: the run that it
// is part of, or the owner's own. It takes the owner over.
func (w *Watcher) buildFor(o *owner, uid uint32) (*build, error) {
	if b := w.runOf(o.Handle, uid); b != nil {
		o.Close()
		return b, nil
	}
	return w.buildOf(o, uid)
}

func (b *build) isRunOf(uid uint32) bool {
	return b.record.Mode == api.ModeRun && b.record.UID == uid
}

func (w *Watcher) anyRun(uid uint32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.byID {
		if b.isRunOf(uid) {
			return true
		}
	}
	return false
}

// learnCommand finds out what the owner has become: it is still buildwatchctl when
// it is placed.
func (b *build) learnCommand() {
	const pause, most = 20 * time.Millisecond, 250 // 5 s in all
	ctx, cancel := context.WithTimeout(b.life, pause*most)
	defer cancel()
	for range most {
		exe, err := b.owner.Exe()
		if err != nil {
			return
		}
		if exe != "" && path.Base(exe) != "buildwatchctl" { // it has none in the midst of execve(2)
			args, err := b.watcher.args.Args(ctx, b.owner.Handle)
			if err != nil {
				args = nil // the program's name alone, then
			}
			command := podman.ReadCommand(podman.ProgramName(exe, args), args)
			b.mu.Lock()
			b.command = command.Name
			if b.status.OwnerLives {
				b.learn(api.FactOwner, b.nameOwner()+" lives")
			}
			b.mu.Unlock()
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
