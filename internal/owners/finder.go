// Package owners finds out whom a build belongs to: the process that builds, who waits for
// it, and the API request that it serves. It takes hold of them, writes them down for the
// next daemon and finds them again, and knows how many builds whose owner may have. It
// reads; it decides nothing about builds, and signals only an owner, when it is told to.
package owners

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/request"
	"github.com/buildwatch/buildwatch/internal/share"
)

// Requests tells when API requests are over: package request.
type Requests interface {
	See(ctx context.Context, service, monitor *proc.Handle, uid uint32) (request.Request, error)
	Wait(ctx context.Context, r request.Request, changed func(request.Sight)) error
}

// Finder finds owners. It is safe for concurrent use.
type Finder struct {
	Args *proc.Reader                              // of command lines
	Find func(proc.Identity) (*proc.Handle, error) // a process again: proc.Find

	requests Requests
	log      logrus.FieldLogger
	places   *share.Pool
}

// New makes a Finder.
func New(requests Requests, args *proc.Reader, log logrus.FieldLogger) *Finder {
	return &Finder{Args: args, requests: requests, log: log, places: share.NewPool(builds), Find: proc.Find}
}

// Bounds on the builds that users may have at the same time: each costs a
// process, some descriptors and goroutines. Root's are not bounded. A build beyond them
// runs unwatched until there is a place.
const (
	maxBuildsOfUser  = 128
	maxBuildsOfUsers = 1024
	spareBuilds      = 256 // of these, for users who have fewer than
	fewBuilds        = 4
)

var builds = share.Bounds{User: maxBuildsOfUser, Users: maxBuildsOfUsers, Spare: spareBuilds, Few: fewBuilds}

// Place takes a place for a build of the owner, which may be nil, as the user; false where
// there is none. release may be called more than once.
func (f *Finder) Place(o *Owner, uid uint32) (release func(), ok bool) {
	return f.places.Take(f.account(o, uid))
}

// ForcePlace takes one in any case: for a build that is there already.
func (f *Finder) ForcePlace(o *Owner, uid uint32) (release func()) {
	return f.places.Force(f.account(o, uid))
}

func (f *Finder) account(o *Owner, uid uint32) share.Account {
	if o == nil {
		return f.Args.OfUID(uid)
	}
	return f.Args.OfProcess(o.Handle, uid)
}

// Caller is a process that asks for a place for itself.
type Caller struct {
	*proc.Handle
	UID, GID uint32 // by the kernel's word
}

// InUnit reports whether the OCI runtime that the caller is to become would have systemd make
// a unit for its container. In doubt it would not.
func (f *Finder) InUnit(ctx context.Context, caller Caller) bool {
	args, err := f.Args.Args(ctx, caller.Handle)
	return err == nil && slices.Contains(args, podman.SystemdCgroup)
}

// Seen are a monitor and its parent, a builder, that were seen alive; nil for orphans of
// whom that can't be said. They stay who saw them's.
type Seen struct {
	Monitor, Builder *proc.Handle
	UID              uint32
}

// OfSeen finds the owner, by descriptors of its own.
func (f *Finder) OfSeen(ctx context.Context, s Seen) (*Owner, error) {
	monitor, err := proc.Find(s.Monitor.Identity)
	if err != nil {
		return nil, err
	}
	builder, err := proc.Find(s.Builder.Identity)
	if err != nil {
		monitor.Close()
		return nil, err
	}
	return f.settle(ctx, monitor, builder, s.UID)
}

// Alone is the builder of what was seen, where nothing more can be learnt of it than
// whether it lives. It is nil for one that has ended, and known is false where that can't
// be told.
func (s Seen) Alone() (o *Owner, known bool) {
	builder, err := proc.Find(s.Builder.Identity)
	if err != nil {
		return nil, !s.Builder.Alive()
	}
	return &Owner{Handle: builder, Mode: api.ModeUnknown, Spared: true}, true
}

// Again takes hold of the owner that was written down, nil for one that has ended,
// and says whether one who waited for it has. An error means that this is not known:
// the daemon may have no descriptor or no memory for the look.
func (f *Finder) Again(r Record) (o *Owner, waiterGone bool, err error) {
	handle, err := f.Find(r.Owner)
	if errors.Is(err, proc.ErrGone) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	o = &Owner{Handle: handle, Mode: r.Mode, Command: r.Command, Spared: r.Spared || r.Mode == api.ModeAPI, Request: r.Request}
	for _, id := range r.Waiters {
		waiter, err := f.Find(id)
		switch {
		case errors.Is(err, proc.ErrGone):
			waiterGone = true
		case err != nil:
			o.Close()
			return nil, false, err
		default:
			o.Waiters = append(o.Waiters, waiter)
		}
	}
	return o, waiterGone, nil
}

// What keeps a caller from becoming the command of a run.
var (
	ErrNoWaiter = errors.New("no buildwatchctl waits for the caller")
	ErrNotYours = errors.New("the caller has another user's processes around it")
)

// OfRun takes hold of a caller that is about to become a run's command, and of who waits
// for it. Both must run the program. Nothing that the caller has sent is looked at.
func (f *Finder) OfRun(caller Caller, program string) (*Owner, error) {
	// Before Linux 6.5 the kernel does not tell which process connected, only its
	// number then: it must be what it says it is.
	if err := caller.Runs(program); err != nil {
		return nil, err
	}
	if uid, err := caller.Handle.UID(); err != nil || uid != caller.UID {
		return nil, errors.Join(ErrNotYours, err)
	}
	waiter, err := caller.Parent()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoWaiter, err)
	}
	uid, uidErr := waiter.UID()
	if err := waiter.Runs(program); err != nil || uidErr != nil || uid != caller.UID {
		waiter.Close()
		return nil, errors.Join(ErrNoWaiter, err, uidErr)
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
	return &Owner{Handle: handle, Waiters: []*proc.Handle{waiter}, Mode: api.ModeRun, Command: "buildwatchctl run"}, nil
}

// CommandOf waits until the owner of a run has become its command, and returns what that
// is; "" where it does not come to that.
func (f *Finder) CommandOf(ctx context.Context, o *Owner) string {
	const pause, most = 20 * time.Millisecond, 250 // 5 s in all
	ctx, cancel := context.WithTimeout(ctx, pause*most)
	defer cancel()
	for range most {
		exe, err := o.Exe()
		if err != nil {
			return ""
		}
		if exe != "" && path.Base(exe) != "buildwatchctl" { // it has none in the midst of execve(2)
			args, err := f.Args.Args(ctx, o.Handle)
			if err != nil {
				args = nil // the program's name alone, then
			}
			return podman.ReadCommand(podman.ProgramName(exe, args), args).Name
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ""
		}
	}
	return ""
}
