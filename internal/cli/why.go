package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
)

// Between two looks at a build that is ending lies whyPause; journalLooks is how often the
// journal is asked for one that has just ended: it takes its time to write, and may keep
// nothing that this user may read.
const (
	whyPause     = 50 * time.Millisecond
	journalLooks = 5
)

// whyEnded says who ended a build, and why; "" for one that ended by itself.
func (a *app) whyEnded(ctx context.Context, id string) string {
	c := a.client()
	defer c.Close()
	var last api.Reason
	for {
		d, err := c.Show(ctx, id)
		switch {
		case isGone(err):
			return a.whyGone(ctx, id, last)
		case err != nil:
			return sayEnded(api.Ended{ID: id, Reason: last})
		case d.State.Wanted():
			return ""
		}
		last = d.Reason
		select {
		case <-time.After(whyPause):
		case <-ctx.Done():
			return sayEnded(api.Ended{ID: id, Reason: last})
		}
	}
}

func (a *app) whyGone(ctx context.Context, id string, last api.Reason) string {
	for range journalLooks {
		all, err := a.readAll(ctx, history.Query{ID: id})
		if n := len(all); n > 0 {
			return sayEnded(all[n-1])
		}
		if err != nil {
			break
		}
		select {
		case <-time.After(whyPause):
		case <-ctx.Done():
		}
	}
	return sayEnded(api.Ended{ID: id, Reason: last})
}

// sayEnded is the one line for a person.
func sayEnded(e api.Ended) string {
	if !slices.Contains([]api.Reason{api.ReasonStopped, api.ReasonDeadline, api.ReasonStalled}, e.Reason) {
		return ""
	}
	return fmt.Sprintf(`build %s was ended (%s): %s; "buildwatchctl show %s" says more`, quote(e.ID), e.Reason, history.Why(e), quote(e.ID))
}
