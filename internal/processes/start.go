package processes

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Host acts on this host's scopes and cgroups: package scopes.
type Host interface {
	Cgroups
	Start(ctx context.Context, spec scopes.Spec) (Scope, error)
	// Granted are the limits that the administrator gives a user's builds.
	Granted(user api.User, mode api.Mode) []limits.Value
	// Gather makes a scope of processes that are somewhere else.
	Gather(ctx context.Context, spec scopes.Spec, orphans []*proc.Handle) (Scope, error)
}

// Spec is what the scope of a build is to be.
type Spec struct {
	ID      string // the build's
	User    api.User
	GID     uint32
	Mode    api.Mode
	Record  []byte // what the next daemon is to know
	Beside  string // see scopes.Spec
	InUnit  bool   // likewise
	Command bool   // it is to hold the build's command too
	Limits  limits.Limits
	// Grace is the time that the daemon has for the clean end of a build whose limit of
	// time is over, before systemd ends it its own way: that can't be clean, and is for
	// when there is no daemon.
	Grace time.Duration
}

func (s Spec) orphans() scopes.Spec { return scopes.Spec{ID: s.ID, UID: s.User.UID, Record: s.Record} }

// UnitOf is what the scope of a build is called.
func UnitOf(id string) string { return scopes.UnitName(id) }

// retryPause is how long to wait before a scope's name is tried again that is
// not free yet. It is, 11 to 23 ms after the last process of the old scope
// ended; this happens only to a build whose scope somebody else has stopped.
const retryPause = 5 * time.Millisecond

// Start makes a scope for a build in the place of old, which may be nil. Where old can't
// be replaced because containers live in it, it is old itself that is returned: its unit
// is there for as long as they are.
func Start(ctx context.Context, host Host, spec Spec, owner *proc.Handle, old Scope) (Scope, error) {
	pidfd, err := owner.Pidfd()
	if err != nil {
		return nil, fmt.Errorf("the build's owner: %w", err)
	}
	defer pidfd.Close()
	full := scopes.Spec{
		ID: spec.ID, UID: spec.User.UID, GID: spec.GID, Owner: pidfd, Record: spec.Record, Beside: spec.Beside, InUnit: spec.InUnit,
		Command: spec.Command, Granted: host.Granted(spec.User, spec.Mode), Limits: spec.Limits.Values,
	}
	if spec.Limits.RuntimeMax > 0 {
		full.RuntimeMax = spec.Limits.RuntimeMax + spec.Grace
	}
	for {
		s, err := host.Start(ctx, full)
		if !errors.Is(err, scopes.ErrUnitExists) && !errors.Is(err, scopes.ErrGone) {
			return s, err
		}
		if old != nil {
			if busy, err := old.Busy(); err == nil && busy {
				return old, nil
			}
		}
		if !sleep(ctx, retryPause) {
			return nil, err
		}
	}
}
