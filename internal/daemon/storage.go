package daemon

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/reclaim"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// storage hands on to package reclaim what package watch sees.
type storage struct{ *reclaim.Reclaimer }

func (s storage) StepSeen(build string, step owners.Step) {
	b := reclaim.Builder{
		Identity: step.Builder, UID: step.UID, Command: step.Command, Keeps: step.Keeps, Serves: step.Serves,
	}
	if step.Request != nil {
		b.Request = &reclaim.Dir{Path: step.Request.Path, Inode: step.Request.Inode}
		b.RequestUSec = step.Request.Birth / int64(time.Microsecond)
	}
	s.Seen(reclaim.Step{Build: build, Builder: b, Monitor: step.Monitor})
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
