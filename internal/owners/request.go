package owners

import (
	"context"
	"fmt"

	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/request"
)

// News is what was seen of the API request that a build belongs to.
type News struct {
	Event                  lifecycle.Event // what that means
	Directory, Connections string          // what was seen, for people
	Doubt                  string          // why it can't be told whether it is over, if it can't
}

// FollowRequest calls changed with what is seen of the owner's request. It returns nil
// when that is over, or the context's error.
func (f *Finder) FollowRequest(ctx context.Context, o *Owner, changed func(News)) error {
	return f.requests.Wait(ctx, *o.Request, func(now request.Sight) {
		changed(News{Event: meaning(now), Directory: o.directory(now), Connections: connections(now), Doubt: doubt(now)})
	})
}

// meaning is "" for a request that is over: that is told by the end of the wait.
func meaning(now request.Sight) lifecycle.Event {
	switch now.Standing {
	case request.Live:
		return lifecycle.RequestCertain
	case request.Doubtful:
		return lifecycle.RequestDoubted
	case request.Left:
		return lifecycle.RequestLeft
	}
	return ""
}

func (o *Owner) directory(now request.Sight) string {
	switch {
	case now.Dirs == 0:
		return "it is not known"
	case now.Dirs > 1:
		return fmt.Sprintf("%d of the %d that may be its own are gone", now.DirsGone, now.Dirs)
	case now.DirsGone > 0:
		return o.Request.Dirs[0].Path + " is gone"
	}
	return o.Request.Dirs[0].Path + " is there"
}

func connections(now request.Sight) string {
	closed := fmt.Sprintf("%d of the %d that may be its own are closed", now.ConnsGone, now.Conns)
	switch {
	case now.Partial:
		return closed + ", and not all can be looked at"
	case now.Conns == 0:
		return "none that may be its own is known"
	}
	return closed
}

func doubt(now request.Sight) string {
	switch {
	case now.Dirs == 0:
		return "its directory is not known"
	case now.DirsGone < now.Dirs:
		return fmt.Sprintf("it is one of %d, of which %d are over", now.Dirs, now.DirsGone)
	case now.Partial:
		return "its directory is gone, and not all connections can be looked at"
	}
	return "its directory is gone, and no client has gone with it: that was a cleaner, or its client is still connected"
}
