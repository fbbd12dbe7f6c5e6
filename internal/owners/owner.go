package owners

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/request"
)

// ErrNoBuilder is returned for a caller that no builder has started.
var ErrNoBuilder = errors.New("not started by podman build or buildah")

// Owner is whom a build belongs to: when it ends, nobody wants the build.
type Owner struct {
	// The builder: the process that runs the build's steps. Where that does something else
	// as well, or what it does is not known, it is the monitor of one step: that step is
	// a build of its own, and nothing is listed, or can be ended, while no step runs.
	*proc.Handle
	// Waiters are the processes of the same program that wait for the builder,
	// nearest first. A rootless podman has one: it re-executes itself in a user
	// namespace. When a waiter ends before the builder does, the user's command
	// is gone, and the builder works for nobody.
	Waiters []*proc.Handle
	Mode    api.Mode
	Command string // program and verb, see api.Owner
	Spared  bool   // never to be signalled
	// Request is what the build belongs to in the first place where it came through
	// the API: the owner then serves others too. It is nil for all other builds.
	Request *request.Request
	// Step is what was seen of the step by which the owner was found.
	Step Step
}

// Key tells the builds of all owners apart: a service has one for each request.
type Key struct {
	Owner   proc.Identity
	Request string
}

// Key is the owner's.
func (o *Owner) Key() Key {
	key := Key{Owner: o.Identity}
	if o.Request != nil {
		key.Request = o.Request.Key()
	}
	return key
}

// OfCaller follows the parents of the wrapper up to the builder. Each is held
// by pidfd before it is believed to be the parent of the one below, so an owner
// that is returned was the builder's process at a moment when the caller lived.
//
// The builder and the monitor run the same program, and have the caller's UID.
// The names only narrow down further what is taken for a build; who made them
// up has placed a container of their own in a scope of their own.
//
// Source of the re-execution: containers/podman, pkg/rootless; of storage's
// pkg/unshare for buildah.
func (f *Finder) OfCaller(ctx context.Context, caller Caller) (*Owner, error) {
	monitor, err := caller.Parent()
	if err != nil {
		return nil, unlessOver(caller, fmt.Errorf("the caller's parent: %w", err))
	}
	builder, err := monitor.Parent()
	if err != nil {
		monitor.Close()
		return nil, unlessOver(caller, fmt.Errorf("the builder: %w", err))
	}
	o, err := f.settle(ctx, monitor, builder, caller.UID)
	return o, unlessOver(caller, err)
}

// OfStep finds the owner of a step by the first process of its container, whose parent the
// monitor is. It must be in the cgroup, by the kernel's word: its PID may be another's by now.
func (f *Finder) OfStep(ctx context.Context, pid int, cgroup string, uid uint32) (*Owner, error) {
	first, err := proc.Open(pid)
	if err != nil {
		return nil, err
	}
	defer first.Close()
	if where, err := first.Cgroup(); err != nil || where != cgroup {
		return nil, errors.Join(ErrNoBuilder, err)
	}
	return f.OfCaller(ctx, Caller{Handle: first, UID: uid})
}

// unlessOver says of a caller that is still there, and above which somebody is not, that
// no builder has started it: it has not given up.
func unlessOver(caller Caller, err error) error {
	if errors.Is(err, proc.ErrGone) && caller.Alive() {
		return fmt.Errorf("%w: %w", ErrNoBuilder, err)
	}
	return err
}

// settleOwner finds out which of the two is the owner, and lets go of the other.
func (f *Finder) settle(ctx context.Context, monitor, builder *proc.Handle, uid uint32) (*Owner, error) {
	o, err := f.ownerOf(ctx, monitor, builder, uid)
	for _, process := range []*proc.Handle{monitor, builder} {
		if err != nil || o.Handle != process && !slices.Contains(o.Waiters, process) {
			process.Close()
		}
	}
	return o, err
}

func (f *Finder) ownerOf(ctx context.Context, monitor, builder *proc.Handle, uid uint32) (*Owner, error) {
	step, err := f.processOf(ctx, monitor)
	if err != nil {
		return nil, fmt.Errorf("the caller's parent: %w", err)
	}
	above, err := f.processOf(ctx, builder)
	if err != nil {
		return nil, fmt.Errorf("the builder: %w", err)
	}
	if _, ok := podman.Monitor(step, above); !ok {
		return nil, ErrNoBuilder
	}
	for _, process := range []*proc.Handle{monitor, builder} {
		if have, err := process.UID(); err != nil || have != uid {
			return nil, fmt.Errorf("%w: a process of UID %d among them", ErrNoBuilder, have)
		}
	}
	waiters, outer := waitersOf(builder, above, uid, (*proc.Handle).UID)
	command := readCommand(above, outer)
	o := &Owner{Handle: builder, Waiters: waiters, Mode: api.ModeLocal, Command: command.Name}
	o.Step = Step{Builder: builderOf(builder.Identity, uid, command, above.Args), Monitor: monitor.Identity}
	switch command.Purpose {
	case podman.Serves:
		o.closeWaiters()
		seen, err := f.requests.See(ctx, builder, monitor, uid)
		if err != nil {
			f.log.WithError(err).Debug("Not all can be found out about an API request")
		}
		o.Mode, o.Spared, o.Request = api.ModeAPI, true, &seen
		if seen.Key() != "" {
			o.Step.Request = &seen.Dirs[0]
		}
		if seen.Key() == "" {
			// Which of the service's requests it is can't be told, so it is a build of
			// its own: the monitor lives as long as this container.
			o.Handle = monitor
		}
	case podman.Unknown:
		o.Handle, o.Spared = monitor, true
		if program, _, _ := strings.Cut(command.Name, " "); !podman.IsBuilder(program) {
			waiters = reexecuted(builder, waiters, userNamespace)
		}
		o.Waiters = append([]*proc.Handle{builder}, waiters...)
	}
	return o, nil
}

// processOf is what package podman must know of a process.
func (f *Finder) processOf(ctx context.Context, h *proc.Handle) (podman.Process, error) {
	program, err := h.Program()
	if err != nil {
		return podman.Process{}, err
	}
	args, err := f.Args.Args(ctx, h)
	return podman.Process{File: program.FileID, Exe: program.Exe, Size: program.Size, Args: args}, err
}

// maxWaiters is how many processes above the owner are looked at. Three levels are known:
// a builder that does something else too, rootless, below podman unshare.
const maxWaiters = 4

// waitersOf returns the processes above the builder that run its program as its
// user. They started it and wait for it. outer is the path of the program that the
// nearest one runs.
func waitersOf(builder *proc.Handle, is podman.Process, uid uint32, uidOf func(*proc.Handle) (uint32, error)) (waiters []*proc.Handle, outer string) {
	for last := builder; len(waiters) < maxWaiters-1; last = waiters[len(waiters)-1] {
		parent, err := last.Parent()
		if err != nil {
			break
		}
		have, uidErr := uidOf(parent)
		program, err := parent.Program()
		above := podman.Process{File: program.FileID, Exe: program.Exe, Size: program.Size}
		if uidErr != nil || err != nil || have != uid || !is.RunsProgramOf(above) {
			parent.Close()
			break
		}
		if len(waiters) == 0 {
			outer = program.Exe
		}
		waiters, is = append(waiters, parent), above
	}
	return waiters, outer
}

// reexecuted returns those of the processes above a builder that wait for it though it is not
// known what its program does: by executing itself in a user namespace of its own, as package
// unshare of containers/storage does. A process in the same one may be a supervisor, which may
// end, or be upgraded, while its builders work on.
func reexecuted(builder *proc.Handle, above []*proc.Handle, namespace func(*proc.Handle) string) (waiters []*proc.Handle) {
	below := namespace(builder)
	for i, h := range above {
		is := namespace(h)
		if is == "" || below == "" || is == below {
			for _, other := range above[i:] {
				other.Close()
			}
			break
		}
		waiters, below = append(waiters, h), is
	}
	return waiters
}

func userNamespace(h *proc.Handle) string { return proc.Namespace(h.PID, "user") }

// Close lets go of all the owner's processes.
func (o *Owner) Close() {
	o.Handle.Close()
	o.closeWaiters()
}

func (o *Owner) closeWaiters() {
	for _, waiter := range o.Waiters {
		waiter.Close()
	}
	o.Waiters = nil
}

func (o *Owner) identities() []proc.Identity {
	var ids []proc.Identity
	for _, waiter := range o.Waiters {
		ids = append(ids, waiter.Identity)
	}
	return ids
}

// Tell sends the owner a signal. One that has ended needs none.
func (o *Owner) Tell(signal unix.Signal) error {
	if err := o.Signal(signal); err != nil && !errors.Is(err, proc.ErrGone) {
		return err
	}
	return nil
}

// TerminateBy is the signal that tells the owner to end, and to tidy up if it can.
func (o *Owner) TerminateBy() unix.Signal {
	if exe, err := o.Exe(); err == nil && podman.TidiesByHangup(exe) {
		return unix.SIGHUP
	}
	return unix.SIGTERM
}

// Builders are the processes that live and work for the build alone. An API service does
// not.
func (o *Owner) Builders() []int {
	if o == nil || o.Spared {
		return nil
	}
	var pids []int
	for _, builder := range append([]*proc.Handle{o.Handle}, o.Waiters...) {
		if builder.Alive() {
			pids = append(pids, builder.PID)
		}
	}
	return pids
}

// maxAncestors bounds the way from a builder up to the command of a run: a script,
// make, sudo and the like are between them.
const maxAncestors = 32

// Lineage has the owner and the processes above it, nearest first.
func (o *Owner) Lineage() iter.Seq[proc.Identity] {
	return func(yield func(proc.Identity) bool) {
		for above := range proc.Ancestors(o.Handle, maxAncestors) {
			if !yield(above.Identity) {
				return
			}
		}
	}
}

// Beside is the cgroup in or below which the OCI runtime would make the build's
// containers without us, or leave them; "" where nothing but system.slice is above that,
// as for root.
func (o *Owner) Beside(uid uint32) string {
	if uid == 0 {
		return ""
	}
	where, err := o.Cgroup()
	if err != nil {
		return ""
	}
	return podman.BesideCgroup(where, o.Command, uid)
}
