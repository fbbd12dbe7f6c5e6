package daemon

import (
	"context"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// acting makes a scopes.Manager what package processes asks for.
type acting struct {
	*scopes.Manager
	grants limits.Grants
}

func (a acting) Granted(user api.User, mode api.Mode) []limits.Value {
	return a.grants.For(user.UID, user.Name, string(mode))
}

func (a acting) Start(ctx context.Context, spec scopes.Spec) (processes.Scope, error) {
	return scope(a.Manager.Start(ctx, spec))
}

func (a acting) Gather(ctx context.Context, spec scopes.Spec, orphans []*proc.Handle) (processes.Scope, error) {
	return scope(a.Manager.Gather(ctx, spec, orphans))
}

func scope(s *scopes.Scope, err error) (processes.Scope, error) {
	if err != nil {
		return nil, err // not s: a nil *Scope is no nil processes.Scope
	}
	return s, nil
}
