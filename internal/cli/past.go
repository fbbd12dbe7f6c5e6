package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
	"github.com/buildwatch/buildwatch/internal/history"
)

// recently is for how long list --all shows builds after their end.
const recently = 24 * time.Hour

// Past reads ended builds out of the journal: history.Read.
type Past func(ctx context.Context, q history.Query, each func(api.Ended) error) error

// read is Past for who asks.
func (a *app) read(ctx context.Context, q history.Query, each func(api.Ended) error) error {
	if a.Past == nil {
		return nil
	}
	q.UID = a.UID
	err := a.Past(ctx, q, each)
	if errors.Is(err, history.ErrNoJournalctl) {
		return fmt.Errorf("%w: ended builds are in the journal of a Linux host, ask there, in a podman machine by --machine", err)
	}
	return err
}

// readAll returns what is read, oldest first.
func (a *app) readAll(ctx context.Context, q history.Query) ([]api.Ended, error) {
	all := []api.Ended{}
	err := a.read(ctx, q, func(e api.Ended) error {
		all = append(all, e)
		return nil
	})
	return all, err
}

// withStorage adds what became of what the builds had left in storage. That this can't be told is
// no failure.
func (a *app) withStorage(ctx context.Context, q history.Query, all []api.Ended) {
	_ = history.AddStorage(ctx, q, a.read, all)
}

// recent returns builds that have ended lately, as list shows them.
func (a *app) recent(ctx context.Context) ([]api.Build, error) {
	ended, err := a.readAll(ctx, history.Query{Since: journalTime(a.Now().Add(-recently))})
	return each(ended, asBuild), err
}

// journalTime is a point in time as journalctl takes it.
//
// Source: systemd.time(7), Parsing Timestamps.
func journalTime(t time.Time) string { return fmt.Sprintf("@%d", t.Unix()) }

// lookup finds the one ended build with the ID, or whose ID begins so, or the last one
// that had the name; nil where there is none.
func (a *app) lookup(ctx context.Context, given string) (*api.Ended, error) {
	if e, err := a.lookupAmong(ctx, history.Query{ID: given}, given); e != nil || err != nil {
		return e, err
	}
	return a.lookupAmong(ctx, history.Query{}, given)
}

func (a *app) lookupAmong(ctx context.Context, q history.Query, given string) (*api.Ended, error) {
	var found, named *api.Ended
	several := map[string]bool{}
	err := a.read(ctx, q, func(e api.Ended) error {
		if e.Name == given {
			named = &e
		}
		if strings.HasPrefix(e.ID, given) {
			found, several[e.ID] = &e, true
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case named != nil:
		return named, nil
	case len(several) > 1:
		return nil, &api.Error{Code: api.CodeAmbiguous, Message: fmt.Sprintf("ID %s fits several ended builds", quote(given))}
	}
	return found, nil
}

// orEnded looks for a build among those that have ended where it is not among those that
// there are. That it is not there either leaves the error as it is.
func (a *app) orEnded(ctx context.Context, given string, err error) (*api.Ended, error) {
	if given == "" || !isGone(err) && !errors.Is(err, client.ErrNotRunning) {
		return nil, err // all IDs begin so
	}
	switch e, failed := a.lookup(ctx, given); {
	case e != nil:
		all := []api.Ended{*e}
		a.withStorage(ctx, history.Query{ID: e.ID}, all)
		return &all[0], nil
	case isAmbiguous(failed):
		return nil, failed
	case errors.Is(failed, history.ErrForbidden) && isGone(err):
		return nil, fmt.Errorf("no build with ID %q runs, and %w", given, failed)
	}
	return nil, err
}
