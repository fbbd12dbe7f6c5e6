package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/reclaim"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// storage hands on to package reclaim what package watch sees.
type storage struct{ *reclaim.Reclaimer }

func (s storage) StepSeen(build string, step owners.Step) {
	seen := reclaim.Step{Build: build, Builder: reclaim.Builder(step.Builder), Monitor: step.Monitor}
	if step.Request != nil {
		seen.Request = &reclaim.Dir{Path: step.Request.Path, Inode: step.Request.Inode}
		seen.RequestUSec = step.Request.Birth / int64(time.Microsecond)
	}
	s.Seen(seen)
}

// builderLimit bounds the look at a builder: its command line lies in its own memory.
const builderLimit = time.Second

// BuilderSeen passes on a builder, whether it has a step or not, and reports whether all was
// learnt of it that can be.
func (s storage) BuilderSeen(ctx context.Context, finder *owners.Finder, id proc.Identity, since time.Time) bool {
	h, err := proc.Find(id)
	if err != nil {
		return errors.Is(err, proc.ErrGone)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(ctx, builderLimit)
	defer cancel()
	b, waits, err := finder.Builder(ctx, h)
	if err != nil || b.Command == "" {
		return !h.Alive()
	}
	s.SeenBuilder(reclaim.Builder(b), waits, since)
	return true
}

func (s storage) BuildOver(build string, settled bool) { s.Over(build, settled) }

// reclaimMode is what is done with what dead builds have left: who wants that nothing is ended
// wants that nothing is removed.
func reclaimMode(c *config.Config) reclaim.Mode {
	mode := reclaim.Mode(c.Storage.Reclaim)
	if mode == reclaim.Own && c.Policy.Abandoned == config.AbandonedReport {
		return reclaim.Report
	}
	return mode
}

// helpers starts helpers as users.
func helpers(manager *scopes.Manager, program string) reclaim.Start {
	var started atomic.Uint64
	return func(ctx context.Context, uid uint32, in, out *os.File, limit time.Duration) error {
		return manager.StartHelper(ctx, scopes.Helper{
			Name: fmt.Sprintf("buildwatch-reclaim-%d-%d", time.Now().UnixMicro(), started.Add(1)),
			UID:  uid, Program: program, In: in, Out: out, Limit: limit,
		})
	}
}
