package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
)

// Stalled is when a build that hangs is called stalled, and what is done then.
type Stalled struct {
	After     time.Duration // for which nothing of it has moved
	KillAfter time.Duration // for which it has been stalled, until it is ended; 0: it is not
}

// Hang finds out whether one build hangs (package stall). It is used by one goroutine at a time.
type Hang interface {
	// Look returns since when the build hangs, if it has done so for the time after, and
	// what of it hangs, for people.
	Look(ctx context.Context, now time.Time, after, cpu time.Duration, pids func() []int) (since time.Time, hung []string)
	// Forget forgets what was seen.
	Forget()
}

// stalledBuild is what is known of a build while it is stalled.
type stalledBuild struct {
	since time.Time // nothing has moved
	seen  time.Time // it was called so
	hung  []string
}

// Between two looks at a build lies this part of the time after which it is stalled,
// but no more than maxPause. What stops right after a look counts as quiet from the
// next, and the end of the time may fall right after another: a hang is noticed
// within that time and two pauses.
const looks, maxPause = 30, 30 * time.Second

// WatchStalled looks for builds that hang, as long as there are any builds. It is called once.
func (w *Watcher) WatchStalled(rules Stalled, open func(uid uint32) Hang) {
	w.running.Go(func() {
		for {
			select {
			case <-w.begun:
			case <-w.life.Done():
				return
			}
			w.watchStalled(rules, open)
		}
	})
}

// wakeStallWatch is told of a build that begins.
func (w *Watcher) wakeStallWatch() {
	select {
	case w.begun <- struct{}{}:
	default:
	}
}

// watchStalled returns when no build is left.
func (w *Watcher) watchStalled(rules Stalled, open func(uid uint32) Hang) {
	ticker := time.NewTicker(min(rules.After/looks, maxPause))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-w.life.Done():
			return
		}
		builds := w.all()
		if len(builds) == 0 {
			return
		}
		for _, b := range builds {
			b.measure()
			if e := b.lookForStall(time.Now(), rules, open); e != "" {
				b.send(message{event: e})
			}
		}
	}
}

// lookForStall looks at one build, and returns what has become of it, or nothing.
func (b *build) lookForStall(now time.Time, rules Stalled, open func(uid uint32) Hang) lifecycle.Event {
	if b.hang == nil {
		b.hang = open(b.record.UID)
	}
	b.mu.Lock()
	held, state, seen := b.held, b.status.State, b.stalled.seen
	b.mu.Unlock()
	if held.None() || state != api.StateRunning && state != api.StateStalled {
		b.hang.Forget()
		return ""
	}
	since, hung := b.hang.Look(b.life, now, rules.After, held.StepsCPUTime(), held.Steps)
	switch {
	case since.IsZero() && state == api.StateStalled:
		return lifecycle.StalledOver
	case since.IsZero():
		return ""
	case state == api.StateRunning:
		b.mu.Lock()
		b.stalled.since, b.stalled.seen, b.stalled.hung = since, now, hung
		b.unlock()
		return lifecycle.StalledSeen
	case rules.KillAfter > 0 && now.Sub(seen) >= rules.KillAfter:
		return lifecycle.StalledTooLong
	}
	return ""
}

// maxNamed is how many processes an entry of the log names.
const maxNamed = 16

// logStalled tells of a build that was called stalled.
func (b *build) logStalled(log *logrus.Entry) {
	b.mu.Lock()
	since, hung := b.stalled.since, b.stalled.hung
	b.mu.Unlock()
	names := hung[:min(len(hung), maxNamed)]
	if more := len(hung) - len(names); more > 0 {
		names = append(slices.Clip(names), fmt.Sprintf("and %d more", more))
	}
	processes := strings.Join(names, "; ")
	log.WithFields(logrus.Fields{"since": since.UTC().Format(time.RFC3339), "processes": processes}).
		Warnf("Build %s is stalled: since %s every thread of these processes has waited for another: %s",
			b.id, since.UTC().Format(time.TimeOnly), processes)
}
