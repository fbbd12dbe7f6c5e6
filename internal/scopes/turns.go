package scopes

import (
	"context"
	"fmt"
	"time"

	"github.com/buildwatch/buildwatch/internal/share"
)

// Bounds on what systemd is asked for at the same time. It does one thing after the
// other, in the order in which it was asked, and starts a scope in some 10 ms: who has
// sixty started at once would keep everybody else's waiting. What is beyond these
// bounds waits here, where users take turns.
//
// Source: systemd, src/core/manager.c, manager_dispatch_run_queue.
const (
	startsOfUser  = 2
	startsOfUsers = 8
	startsSpare   = 2 // of these, for users who have none
	startsOfRoot  = 4

	endsOfUser  = 4
	endsOfUsers = 16
	endsSpare   = 4 // of these, for users who have none
	endsOfRoot  = 8
)

var (
	starts = share.Bounds{User: startsOfUser, Users: startsOfUsers, Spare: startsSpare, Few: 1, Root: startsOfRoot}
	ends   = share.Bounds{User: endsOfUser, Users: endsOfUsers, Spare: endsSpare, Few: 1, Root: endsOfRoot}
)

// turns are users' turns with systemd. A scope's start has its own, for it also costs
// a process before it has a cgroup.
type turns struct {
	starts, ends *share.Pool
	kills        *share.Pool // with the kernel, which also does one thing after the other; each holds a thread
}

func newTurns() turns {
	return turns{starts: share.NewPool(starts), ends: share.NewPool(ends), kills: share.NewPool(ends)}
}

// toStart waits for a turn to make a scope. The error is ErrBusy.
func (t turns) toStart(ctx context.Context, of share.Account) (release func(), err error) {
	if release, err = t.starts.Wait(ctx, of); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return release, nil
}

// toEnd waits for a turn to have a scope's processes ended.
func (t turns) toEnd(ctx context.Context, of share.Account) (release func(), err error) {
	if release, err = t.ends.Wait(ctx, of); err != nil {
		return nil, fmt.Errorf("wait for a turn: %w", err)
	}
	return release, nil
}

// endPatience is how long a build that is over waits for its turn. A thousand that are over in
// one moment would keep systemd at it for seconds: the kernel ends those that come later.
const endPatience = 50 * time.Millisecond

// toEndSoon is toEnd for who has other means: false where the turn does not come soon.
func (t turns) toEndSoon(ctx context.Context, of share.Account) (release func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	release, err := t.ends.Wait(ctx, of)
	return release, err == nil
}
