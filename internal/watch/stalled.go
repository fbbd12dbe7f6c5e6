package watch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/stall"
)

// Stalled is when a build that hangs is called stalled, and what is done then.
type Stalled struct {
	After     time.Duration // for which nothing of it has moved
	KillAfter time.Duration // for which it has been stalled, until it is ended; 0: it is not
}

// Sampler tells what processes wait in: package stall.
type Sampler interface {
	Sample(ctx context.Context, uid uint32, pids []int) stall.Sample
}

// stalledBuild is what is known of a build that may hang. What the watch over such
// builds has for itself is the tracker.
type stalledBuild struct {
	tracker stall.Tracker

	// The rest is guarded by the build's lock, and holds while it is stalled.
	since time.Time // nothing has moved
	seen  time.Time // it was called so
	hung  []stall.Process
}

// Between two looks at a build lies this part of the time after which it is stalled,
// but no more than maxPause. What stops right after a look counts as quiet from the
// next, and the end of the time may fall right after another: a hang is noticed
// within that time and two pauses.
const looks, maxPause = 30, 30 * time.Second

// WatchStalled looks after builds that hang for as long as there are any builds. It
// is called once.
func (w *Watcher) WatchStalled(rules Stalled, sampler Sampler) {
	w.running.Go(func() {
		for {
			select {
			case <-w.begun:
			case <-w.life.Done():
				return
			}
			w.watchStalled(rules, sampler)
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
func (w *Watcher) watchStalled(rules Stalled, sampler Sampler) {
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
			if e := b.lookForStall(time.Now(), rules, sampler); e != "" {
				b.send(message{event: e})
			}
		}
	}
}

// lookForStall looks at one build, and returns what has become of it, or nothing.
func (b *build) lookForStall(now time.Time, rules Stalled, sampler Sampler) lifecycle.Event {
	b.mu.Lock()
	held, state, seen := b.held, b.status.State, b.stalled.seen
	b.mu.Unlock()
	if held.None() || state != api.StateRunning && state != api.StateStalled {
		b.stalled.tracker = stall.Tracker{}
		return ""
	}
	since, hung := b.stalled.tracker.Look(now, held.StepsCPUTime(), rules.After, func() stall.Sample {
		return sampler.Sample(b.life, b.record.UID, held.Steps())
	})
	switch {
	case since.IsZero() && state == api.StateStalled:
		return lifecycle.StalledOver
	case since.IsZero():
		return ""
	case state == api.StateRunning:
		b.mu.Lock()
		b.stalled.since, b.stalled.seen, b.stalled.hung = since, now, hung
		b.mu.Unlock()
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
	var names []string
	for i, p := range hung {
		if i == maxNamed {
			names = append(names, fmt.Sprintf("and %d more", len(hung)-i))
			break
		}
		names = append(names, fmt.Sprintf("%d %q (%s, %d threads)", p.PID, p.Command, p.Arch, len(p.Threads)))
	}
	processes := strings.Join(names, "; ")
	log.WithFields(logrus.Fields{"since": since.UTC().Format(time.RFC3339), "processes": processes}).
		Warnf("Build %s is stalled: since %s every thread of these processes has waited for another: %s",
			b.id, since.UTC().Format(time.TimeOnly), processes)
}
