package owners

import (
	"context"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/request"
)

// News is what was seen of the API request that a build belongs to.
type News struct {
	Event       lifecycle.Event // what that means
	Directory   api.Fact        // its name and value alone, as the other
	Connections api.Fact
	Doubt       api.Doubt // why it can't be told whether it is over, if it can't
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

func (o *Owner) directory(now request.Sight) api.Fact {
	fact := api.Fact{Name: api.FactDirectory, Value: api.ValueThere}
	switch {
	case now.Dirs == 0:
		fact.Value = api.ValueUnknown
		return fact
	case now.Dirs > 1:
		fact.Value, fact.Count, fact.Of = api.ValueGone, &now.DirsGone, now.Dirs
		return fact
	case now.DirsGone > 0:
		fact.Value = api.ValueGone
	}
	fact.Path = o.Request.Dirs[0].Path
	return fact
}

func connections(now request.Sight) api.Fact {
	fact := api.Fact{Name: api.FactConnections, Value: api.ValueGone, Count: &now.ConnsGone, Of: now.Conns, Partial: now.Partial}
	if now.Conns == 0 && !now.Partial {
		fact.Value, fact.Count = api.ValueUnknown, nil
	}
	return fact
}

func doubt(now request.Sight) api.Doubt {
	switch {
	case now.Dirs == 0:
		return api.DoubtDirectory
	case now.DirsGone < now.Dirs:
		return api.DoubtSeveral
	case now.Partial:
		return api.DoubtPartial
	}
	return api.DoubtClient
}
