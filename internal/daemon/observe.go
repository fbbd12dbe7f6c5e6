package daemon

import (
	"context"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/observe"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/runtimes"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/watch"
)

// newFollower makes what follows the builds that do not come through the wrapper.
func newFollower(watcher *watch.Watcher, finder *owners.Finder, kept storage, reader *proc.Reader, log logrus.FieldLogger) *observe.Follower {
	sighting := func(s *observe.Step) watch.Sighting {
		return watch.Sighting{Seen: owners.Seen{Monitor: s.Monitor, Builder: s.Builder, UID: s.UID}, Processes: s}
	}
	return observe.New(observe.Options{
		Seen:     func(ctx context.Context, s *observe.Step) bool { return watcher.Observe(ctx, sighting(s)) },
		Orphaned: func(_ context.Context, s *observe.Step) bool { return watcher.Orphaned(sighting(s)) },
		Builder: func(ctx context.Context, id proc.Identity, since time.Time) bool {
			return kept.BuilderSeen(ctx, finder, id, since)
		},
		Placed:  scopes.Holds,
		Passing: scopes.Passing,
		DropIn:  filepath.Join(podman.DropInsOfMain, runtimes.DropIn),
		Reader:  reader,
		Log:     log,
	})
}
