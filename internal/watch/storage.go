package watch

import (
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
)

// Storage is told which steps use it, and which builds are over (package reclaim). It takes
// nothing over, and never waits.
type Storage interface {
	StepSeen(build string, step owners.Step)
	// BuildOver is told when no process of the build is left. settled: it is over by itself, and
	// nothing of it had to be ended.
	BuildOver(build string, settled bool)
}

// Reclaimed tells those who watch what became of what a build had left in storage. The build is
// gone, as a rule, and known by its ID only.
func (w *Watcher) Reclaimed(build string, uid uint32, what api.Reclaimed) {
	head := api.BuildHead{ID: build, User: userOf(uid), State: api.StateGone}
	w.events.publish(api.Event{Time: time.Now(), Kind: api.EventReclaimed, Build: &head, Reclaimed: &what})
}
