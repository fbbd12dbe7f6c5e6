package watch

import (
	"context"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// remains is what is known of the processes that SIGKILL did not end.
type remains struct {
	processes.Remains           // of the last look
	stuck             time.Time // when the ladder was at its end
}

// survivorPause and maxSurvivorPause are between two looks at what is left of a
// build that is stuck: the first, and the longest. That the kernel has let go is
// not found out by them, but by the notification of the cgroup.
const survivorPause, maxSurvivorPause = time.Second, 30 * time.Second

// freePause is between two tries to free it before that.
const freePause = 100 * time.Millisecond

// inspect looks at what is left, and with free ends what it waits for, where that may be.
// One look is made at a time.
func (b *build) inspect(ctx context.Context, free bool) {
	select {
	case survivors := <-b.inspecting:
		defer func() { b.inspecting <- survivors }()
		b.mu.Lock()
		before := b.remains.Remains
		b.mu.Unlock()
		now, freed := survivors.Look(ctx, b.processes(), b.owner.Builders(), before, free)
		b.mu.Lock()
		b.remains.Remains = now
		b.mu.Unlock()
		b.tellFreed(freed)
	case <-ctx.Done():
	}
}

func (b *build) tellFreed(freed []processes.Freed) {
	for _, f := range freed {
		b.watcher.metrics.Freed()
		b.mu.Lock()
		b.tell(api.Event{Kind: api.EventFreed, Connection: f.Connection})
		b.mu.Unlock()
		b.log.WithField("fuse_connection", f.Connection).
			Warnf("Build %s: FUSE connection %d, for which its last processes waited, was aborted: %s", b.id, f.Connection, f.Waited)
	}
}

// free tries to free what is left, until the stage's time is over.
func (b *build) free(ctx context.Context) {
	for held := b.processes(); !held.None(); {
		b.inspect(ctx, true)
		select {
		case <-time.After(freePause):
		case <-ctx.Done():
			return
		}
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
		b.inspect(b.life, true)
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
	waits := map[api.WaitKind]int{api.WaitOther: omitted}
	for _, p := range left {
		waits[api.KindOfWait(p.Waits)]++
	}
	b.watcher.metrics.Stuck(waits)
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
		text += " (" + p.Arch + ", emulated by " + p.Emulator + ")"
	}
	text += fmt.Sprintf(" in state %s waits in %q", p.State, p.WChan)
	if len(p.Waits) > 0 {
		text += ", for " + api.DescribeWaits(p.Waits)
	}
	return text
}

// findHelpers finds out whether the build's storage is served by processes, before its
// containers are killed.
func (b *build) findHelpers(ctx context.Context) {
	b.mu.Lock()
	held, known := b.held, b.helpers != nil
	b.mu.Unlock()
	if held.None() || known {
		return
	}
	examiner := b.watcher.examiner
	roots := processes.Served(ctx, examiner, held)
	if len(roots) == 0 {
		return
	}
	b.mu.Lock()
	b.helpers = processes.FindHelpers(b.life, b.watcher.running.Go, examiner, b.record.UID, b.record.Builders(), roots)
	b.mu.Unlock()
	b.send(message{event: lifecycle.HelpersFound})
}

// endHelpers ends who served the storage of a build that is over. Where its owner
// lives, that is the owner's to do.
func (b *build) endHelpers(ctx context.Context) error {
	if b.owner != nil && b.owner.Alive() {
		return nil
	}
	b.mu.Lock()
	helpers := b.helpers
	b.mu.Unlock()
	ended, err := helpers.End(ctx, b.watcher.timeouts.Helpers)
	b.log.WithField("ended", ended).Debugf("Build %s: what served its storage", b.id)
	return err
}
