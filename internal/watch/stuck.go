package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/survivors"
)

// Examiner finds out what processes that SIGKILL did not end wait for, and frees
// them: package survivors.
type Examiner interface {
	Open(uid uint32) Inspection
	ServedRoots(ctx context.Context, pids []int) ([]uint32, error)
	Helpers(ctx context.Context, uid uint32, builders []proc.Identity, roots []uint32) ([]Helper, error)
}

// Inspection is the examiner's memory of one build.
type Inspection interface {
	Look(ctx context.Context, left survivors.Remains) survivors.Report
	Free(ctx context.Context, left survivors.Remains) survivors.Report
}

// Helper is a process outside of the build that serves its storage.
type Helper interface {
	// End ends it, if nobody else uses what it serves; patience is the time that it
	// has after SIGTERM.
	End(ctx context.Context, patience time.Duration) (ended bool, err error)
	Close()
}

// storage is who serves a build's storage.
type storage struct {
	found   chan struct{} // closed when helpers are known; nil before they are looked for
	helpers []Helper
}

func (s storage) close() {
	for _, h := range s.helpers {
		h.Close()
	}
}

// remains is what is known of the processes that SIGKILL did not end.
type remains struct {
	inspection Inspection        // nil until the first look
	report     survivors.Report  // of the last look
	since      map[int]time.Time // by PID: the first look that found it
	left       int               // processes, at that look
	stuck      time.Time         // when the ladder was at its end
}

// addTo adds to a process what is known of it as a survivor.
func (r remains) addTo(p *api.Process) {
	found, ok := r.report.Processes[p.PID]
	if !ok || !p.Survivor {
		return
	}
	p.State, p.WChan, p.Waits = found.State, found.WChan, found.Waits
	p.Since = r.since[p.PID]
}

// survivorPause and maxSurvivorPause are between two looks at what is left of a
// build that is stuck: the first, and the longest. That the kernel has let go is
// not found out by them, but by the notification of the cgroup.
const survivorPause, maxSurvivorPause = time.Second, 30 * time.Second

// freePause is between two tries to free it before that.
const freePause = 100 * time.Millisecond

// inspect looks at what is left, by Look or Free of the Inspection.
func (b *build) inspect(ctx context.Context, by func(Inspection, context.Context, survivors.Remains) survivors.Report) {
	b.inspecting.Lock()
	defer b.inspecting.Unlock()
	left := survivors.Remains{PIDs: b.processes().PIDs(), Builders: b.owner.Builders()}
	if len(left.PIDs) == 0 {
		return
	}
	b.mu.Lock()
	inspection := b.remains.inspection
	b.mu.Unlock()
	if inspection == nil {
		inspection = b.watcher.examiner.Open(b.record.UID)
	}
	report := by(inspection, ctx, left)
	now := time.Now()
	since := map[int]time.Time{}
	b.mu.Lock()
	for pid := range report.Processes {
		since[pid] = now
		if first, ok := b.remains.since[pid]; ok {
			since[pid] = first
		}
	}
	b.remains.inspection, b.remains.report, b.remains.since, b.remains.left = inspection, report, since, len(left.PIDs)
	b.mu.Unlock()
	for _, number := range report.Aborted {
		b.watcher.metrics.Freed()
		b.mu.Lock()
		b.tell(api.Event{Kind: api.EventFreed, Connection: number})
		b.mu.Unlock()
		b.log.WithField("fuse_connection", number).
			Warnf("Build %s: FUSE connection %d, for which its last processes waited, was aborted: %s", b.id, number, describeMount(report, number))
	}
}

// describeMount says where the connection's file system was mounted, and by whom it
// was served.
func describeMount(r survivors.Report, number uint32) string {
	for _, p := range r.Processes {
		for _, w := range p.Waits {
			if w.Connection == number {
				return w.String()
			}
		}
	}
	return "it is no longer waited for"
}

// free tries to free what is left, until the stage's time is over.
func (b *build) free(ctx context.Context) {
	for held := b.processes(); !held.None(); {
		b.inspect(ctx, Inspection.Free)
		select {
		case <-time.After(freePause):
		case <-ctx.Done():
			return
		}
		held.Look()
		if busy, err := held.Busy(); err == nil && !busy {
			return
		}
	}
}

// survivorKill is how long a kill of what is left of a stuck build may take.
const survivorKill = 100 * time.Millisecond

// watchSurvivors goes on trying, for as long as the build is stuck: what keeps its
// processes may become the build's alone, and a user may have moved others to them.
func (b *build) watchSurvivors() {
	for pause := survivorPause; ; pause = min(2*pause, maxSurvivorPause) {
		select {
		case <-time.After(pause):
		case <-b.life.Done():
			return
		}
		b.inspect(b.life, Inspection.Free)
		ctx, cancel := context.WithTimeout(b.life, survivorKill)
		_ = b.processes().CgroupKill(ctx) // that somebody is left is known
		cancel()
	}
}

// stuckSince is when the ladder was at its end.
func (b *build) stuckSince() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remains.stuck
}

// logStuck tells of the survivors when the ladder is at its end: one entry for the
// build, one for each of them.
func (b *build) logStuck(log *logrus.Entry) {
	left, omitted := b.tree()
	log = log.WithField("survivors", len(left)+omitted)
	b.mu.Lock()
	b.tell(api.Event{Kind: api.EventSurvivors, Survivors: left[:min(len(left), maxLogged)]})
	b.mu.Unlock()
	if len(left) == 0 {
		log.Errorf("Build %s is stuck: its owner survived SIGKILL", b.id)
		return
	}
	log.Errorf("Build %s is stuck: %d of its processes survived SIGKILL", b.id, len(left)+omitted)
	for _, p := range left[:min(len(left), maxLogged)] {
		log.WithFields(logrus.Fields{"pid": p.PID, "wchan": p.WChan}).Errorf("Build %s: %s", b.id, describeSurvivor(p))
	}
}

// maxLogged is how many survivors of one build have an entry each.
const maxLogged = 16

func describeSurvivor(p api.Process) string {
	text := fmt.Sprintf("process %d %q", p.PID, p.Command)
	if p.Arch != "" {
		text += " (" + p.Arch + ", emulated)"
	}
	text += fmt.Sprintf(" in state %s waits in %q", p.State, p.WChan)
	if len(p.Waits) > 0 {
		text += ", for " + api.DescribeWaits(p.Waits)
	}
	return text
}

// helperTime is how long the look for helpers may hold back the kill of the
// containers, without which they can't be found; helpersLook, how long the look at
// who else uses what they serve may take.
const helperTime, helpersLook = 50 * time.Millisecond, 300 * time.Millisecond

// findHelpers finds out whether the build's storage is served by processes, and takes
// hold of them. Which they are the containers' mount tables say, while there is a
// process to ask: it is called before the containers are killed.
func (b *build) findHelpers(ctx context.Context) {
	b.mu.Lock()
	held := b.held
	known := b.storage.found != nil
	b.mu.Unlock()
	if held.None() || known {
		return
	}
	limit, cancel := context.WithTimeout(ctx, helperTime)
	defer cancel()
	roots, err := b.watcher.examiner.ServedRoots(limit, held.PIDs())
	if err != nil || len(roots) == 0 {
		return
	}
	found := make(chan struct{})
	b.mu.Lock()
	b.storage.found = found
	b.mu.Unlock()
	b.send(message{event: lifecycle.HelpersFound})
	b.watcher.running.Go(func() {
		defer close(found)
		helpers, err := b.watcher.examiner.Helpers(b.life, b.record.UID, b.record.Builders(), roots)
		if err != nil {
			b.log.WithError(err).Warnf("Build %s: who serves its storage can't be found", b.id)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.storage.helpers = helpers
		if b.life.Err() != nil {
			b.storage.close() // nobody else will
		}
	})
}

// endHelpers ends who served the storage of a build that is over. Where its owner
// lives, that is the owner's to do.
func (b *build) endHelpers(ctx context.Context) error {
	if b.owner != nil && b.owner.Alive() {
		return nil
	}
	select {
	case <-b.storage.found:
	case <-ctx.Done():
		return ctx.Err()
	}
	var ending sync.WaitGroup
	failed := make([]error, len(b.storage.helpers))
	for i, h := range b.storage.helpers {
		ending.Go(func() {
			var ended bool
			ended, failed[i] = h.End(ctx, b.watcher.timeouts.Helpers)
			b.log.WithField("ended", ended).Debugf("Build %s: what served its storage", b.id)
		})
	}
	ending.Wait()
	return errors.Join(failed...)
}
