package daemon

import (
	"context"
	"errors"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/control"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/watch"
)

func runner(watcher *watch.Watcher, program string) control.Runner {
	return func(ctx context.Context, process *proc.Handle, uid, gid uint32, r control.RunRequest) (api.Build, error) {
		b, err := watcher.Run(ctx, owners.Caller{Handle: process, UID: uid, GID: gid},
			watch.Run{Name: r.Name, Spec: processes.Spec{Limits: r.Limits}, Program: program})
		return b, refusal(err)
	}
}

// refusal makes an answer of what a caller has itself brought about. What else goes wrong
// is for the log.
func refusal(err error) error {
	var ended watch.EndedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, watch.ErrTooMany), errors.Is(err, scopes.ErrBusy):
		return &api.Error{Code: api.CodeBusy, Message: err.Error()}
	case errors.Is(err, watch.ErrPart):
		return &api.Error{Code: api.CodePart, Message: err.Error()}
	case errors.As(err, &ended), errors.Is(err, owners.ErrNoWaiter), errors.Is(err, owners.ErrNotYours),
		errors.Is(err, proc.ErrOtherProgram), errors.Is(err, proc.ErrGone), errors.Is(err, scopes.ErrLeft):
		return &api.Error{Code: api.CodeRefused, Message: err.Error()}
	}
	return err
}
