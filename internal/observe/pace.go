package observe

import (
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Looks that take longer than usual rest restFactor times what they take more, so that they
// have a fiftieth of a processor: on a small machine that is emulated one takes 30 ms, and
// podman executes itself about twice a second all through a build. restMost bounds what is
// seen late for that.
const (
	usual      = 4 * time.Millisecond // with 250 processes
	restFactor = 50
	restMost   = time.Second
)

// pace knows what the last looks took. What they cost is the least of it: the others had to
// wait for a processor, which is no reason to look less.
type pace struct {
	took [8]time.Duration
	n    int
}

func (p *pace) note(took time.Duration) {
	p.took[p.n%len(p.took)] = took
	p.n++
}

func (p *pace) rest() time.Duration {
	if p.n == 0 {
		return 0
	}
	least := p.took[0]
	for _, took := range p.took[:min(p.n, len(p.took))] {
		least = min(least, took)
	}
	return min(restFactor*max(0, least-usual), restMost)
}

// pause is how long to wait for the next look; more reports whether it belongs to
// the burst after an execution.
func (f *Follower) pause(next int) (pause time.Duration, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if next < len(burst) && (f.active || time.Since(f.heard.began) < burst[len(burst)-1]) {
		return burst[next], true
	}
	pause = proc.Beat(slow)
	if f.unwatched > 0 {
		if since, _, err := proc.Boot(); err == nil {
			pause = min(pause, untoldPause(since-time.Duration(f.unwatched)*proc.Tick))
		}
	}
	if time.Since(f.heard.strange) < slow {
		pause = quick
	}
	for _, s := range f.steps {
		if s.needsLooks() {
			return quick, false
		}
		if s.waits() {
			pause = min(pause, again)
		}
	}
	for _, s := range f.lost {
		if s.waits() {
			pause = min(pause, again)
		}
	}
	return pause, false
}

// untoldPause is the time between two looks while a builder lives whose steps nobody tells of:
// longer the older it is, for what is called as a builder may be no build, and live for days.
func untoldPause(age time.Duration) time.Duration { return min(max(age/16, quick), slow) }
