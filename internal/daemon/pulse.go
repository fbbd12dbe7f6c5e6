package daemon

import (
	"fmt"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

const (
	// usualPause is between two signs of life where systemd asks for none.
	usualPause = 10 * time.Second
	// restPause is the same while there is no build, if that is longer.
	restPause = time.Minute
)

// pulse is how often the daemon shows a sign of life: while there are builds, as often as
// systemd asks for in the unit; and when there has been none between two of them, less
// often. Then it rests: nothing can have gone wrong in what does nothing.
type pulse struct {
	asked   time.Duration // how often systemd asks for one; 0 for never
	resting bool
	quiet   bool // there was no build at the last sign of life, nor since
}

func newPulse(asked time.Duration) *pulse { return &pulse{asked: asked} }

// see takes up how many builds there are, at a sign of life or because something has
// happened. It reports whether the pause is another from now on. disturbed says that
// something else needs the daemon awake.
func (p *pulse) see(count map[api.State]int, alive, disturbed bool) (changed bool) {
	before := p.resting
	switch none := len(count) == 0 && !disturbed; {
	case !none:
		p.resting, p.quiet = false, false
	case alive && p.quiet:
		p.resting = true
	case alive:
		p.quiet = true
	default:
		p.quiet = false // what has happened, if it is over already
	}
	return p.resting != before
}

// next is how long it is until the next one. At rest it comes when something else wakes up the daemon.
func (p *pulse) next() time.Duration {
	if p.resting {
		return proc.Beat(p.pause())
	}
	return p.pause()
}

// pause is how long it is from one to the next.
func (p *pulse) pause() time.Duration {
	usual := p.asked
	if usual == 0 {
		usual = usualPause
	}
	if p.resting {
		return max(usual, restPause)
	}
	return usual
}

// watchdog is what systemd is told when the pause has changed: it waits twice as long.
//
// Source: sd_notify(3), WATCHDOG_USEC=; systemd 252, src/core/service.c,
// service_override_watchdog_timeout, which begins anew as WATCHDOG=1 does.
func (p *pulse) watchdog() string {
	if p.asked == 0 {
		return ""
	}
	return fmt.Sprintf("WATCHDOG_USEC=%d\nWATCHDOG=1\n", (2 * p.pause()).Microseconds())
}
