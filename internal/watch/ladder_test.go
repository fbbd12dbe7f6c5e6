package watch

import (
	"context"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestGoneIsNotToldBeforeTheOwnersTurnIsOver: the time to gone holds that of each rung.
func TestGoneIsNotToldBeforeTheOwnersTurnIsOver(t *testing.T) {
	w := newBench(t, longTimeouts)
	r := w.reader(everybody)
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	b.send(message{event: lifecycle.StopRequested})
	proctest.Eventually(t, "the owner may tidy up", func() bool { return b.current().Stage == lifecycle.StageTidy })
	proctest.After(t, time.Now(), 2*soon)
	c.end()
	_, events := r.until(api.EventGone)
	var rungs time.Duration
	for _, e := range events {
		if e.Kind == api.EventRung {
			rungs += time.Duration(e.Rung.Duration)
		}
	}
	if took := time.Duration(events[len(events)-1].Took); took < rungs || rungs < 2*soon {
		t.Errorf("gone after %v, with rungs of %v", took, rungs)
	}
	s.until(t, "close")
}

// TestSecondStopHasItsWholeTime: a user stops a build; systemd stops the scope, its
// owner tidies up, and the empty scope's stop is not answered. The first stop's timer
// is not the second one's.
func TestSecondStopHasItsWholeTime(t *testing.T) {
	const limit = 300 * time.Millisecond
	w := newBench(t, Timeouts{Kill: never, Owner: never, OwnerTerm: never, Stop: limit, CgroupKill: never, Survivors: soon, Helpers: soon})
	var b *build
	known := make(chan struct{})
	stops := 0
	w.script = func(s *fakeScope) {
		s.kill = fails
		s.stop = func(ctx context.Context) error {
			if stops++; stops > 1 {
				return hangs(ctx)
			}
			<-known
			s.clear()
			proctest.Eventually(t, "the empty scope is seen", func() bool { return b.current().Empty })
			return nil
		}
	}
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	close(known)
	b.send(message{event: lifecycle.StopRequested})
	proctest.Eventually(t, "the owner may tidy up", func() bool { return b.current().Stage == lifecycle.StageTidy })
	proctest.After(t, time.Now(), limit/2)
	c.end()
	s.until(t, "close")
	history := b.history()
	last := history[len(history)-1]
	if len(history) != 4 || last.Rung != api.RungStop || !last.TimedOut || last.Duration < api.Seconds(limit) {
		t.Errorf("the ladder's history is %+v", history)
	}
}
