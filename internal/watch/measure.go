package watch

import (
	"time"

	"github.com/buildwatch/buildwatch/internal/processes"
)

// Nobody who asks what builds use waits for a look at their processes: he is told what the
// last one has found. One is made soon after a step has begun, each second while somebody
// asks, and by the stall watch.
const (
	beginTime  = 300 * time.Millisecond // by then a step's own program runs, and no longer the OCI runtime
	roundPause = time.Second
	attention  = 5 * time.Second // after which nobody is taken to ask any more
	roundShare = 10              // a round takes at most this part of the time
)

// wantMeasure is told of a build that is to be looked at, nil for all of them.
func (w *Watcher) wantMeasure(b *build) {
	if b != nil {
		b.unmeasured.Store(true)
	} else {
		w.asked.Store(int64(time.Since(w.since)))
	}
	select {
	case w.measuring <- struct{}{}:
	default:
	}
}

// measureBuilds measures builds for as long as the watcher is open.
func (w *Watcher) measureBuilds() {
	for {
		select {
		case <-w.measuring:
			w.measureRounds()
		case <-w.life.Done():
			return
		}
	}
}

// measureRounds returns when nobody asks any more.
func (w *Watcher) measureRounds() {
	for pause := beginTime; ; {
		select {
		case <-time.After(pause):
		case <-w.life.Done():
			return
		}
		started := time.Now()
		asked := started.Sub(w.since)-time.Duration(w.asked.Load()) < attention
		for _, b := range w.all() {
			if b.unmeasured.Swap(false) || asked {
				b.measure()
			}
			if _, at := b.read.known(); at.IsZero() { // so that a list of very many has something to show
				b.read.look(w.life, b.reading)
			}
		}
		if !asked {
			return
		}
		pause = max(roundPause, roundShare*time.Since(started))
	}
}

// measure looks at what the build has used so far. It takes time, and is called without
// the lock.
func (b *build) measure() {
	held := b.processes()
	now := held.Measure()
	b.use(held, now.CPU, now.Arch)
	b.spent.mu.Lock()
	defer b.spent.mu.Unlock()
	b.spent.last = now
}

// usage is what the build uses, without a look at a process.
func (b *build) usage() processes.Usage {
	b.spent.mu.Lock()
	last := b.spent.last
	b.spent.mu.Unlock()
	return b.processes().Since(last)
}
