package watch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

func everybody(api.User) bool { return true }

// reader reads all events, in the pace of the test.
type reader struct {
	t      *testing.T
	events chan api.Event
	ended  chan error
	cancel context.CancelFunc
}

func (b *bench) reader(may func(api.User) bool) *reader {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &reader{b.t, make(chan api.Event), make(chan error, 1), cancel}
	go func() {
		r.ended <- b.Watch(ctx, may, func(e api.Event) error {
			select {
			case r.events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	b.t.Cleanup(func() {
		cancel()
		<-r.ended
		r.ended <- nil
	})
	return r
}

func (r *reader) next() api.Event {
	r.t.Helper()
	select {
	case e := <-r.events:
		return e
	case <-time.After(never):
		r.t.Fatal("no event comes")
		return api.Event{}
	}
}

// until reads the kinds of events up to this one.
func (r *reader) until(last api.EventKind) (kinds []api.EventKind, all []api.Event) {
	r.t.Helper()
	for {
		e := r.next()
		kinds, all = append(kinds, e.Kind), append(all, e)
		if e.Kind == last {
			return kinds, all
		}
	}
}

func TestEventsTellABuildsLife(t *testing.T) {
	w := newBench(t, longTimeouts)
	r := w.reader(everybody)
	if e := r.next(); e.Kind != api.EventReady {
		t.Fatalf("first comes %+v", e)
	}
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	c.end()
	_, events := r.until(api.EventGone)
	var told []string
	for _, e := range events {
		if e.Build.ID != b.id || e.Build.Scope != s.Unit() || e.Time.IsZero() || e.Build.Owner.PID != c.Process.Pid {
			t.Errorf("told %+v of %+v", e, e.Build)
		}
		switch e.Kind {
		case api.EventState, api.EventGone:
			told = append(told, string(e.Kind)+" "+string(e.Was)+"→"+string(e.Build.State))
		case api.EventRung:
			told = append(told, string(e.Kind)+" "+string(e.Rung.Rung))
		default:
			told = append(told, string(e.Kind))
		}
	}
	want := []string{"started", "state running→abandoned", "state abandoned→terminating", "rung kill", "rung stop", "gone terminating→gone"}
	if last := events[len(events)-1]; !slices.Equal(told, want) || last.Took <= 0 || last.Build.Reason != api.ReasonOwnerExited {
		t.Errorf("told %q, want %q; the last %+v", told, want, last)
	}
}

func TestWhoBeginsToWatchSeesWhatIsThere(t *testing.T) {
	w := newBench(t, longTimeouts)
	first, second := startChild(t, ""), startChild(t, "")
	a, _ := w.run(first.owner(t))
	b, _ := w.run(second.owner(t))
	r := w.reader(everybody)
	_, events := r.until(api.EventReady)
	if len(events) != 3 || events[0].Kind != api.EventPresent || events[0].Build.ID != a.id || events[1].Build.ID != b.id {
		t.Errorf("told %+v", events)
	}
}

func TestEventsOfOthersAreNotSeen(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	w.run(c.owner(t))
	asked := 0
	nobody := w.reader(func(api.User) bool { asked++; return false })
	all := w.reader(everybody)
	if kinds, _ := nobody.until(api.EventReady); len(kinds) != 1 {
		t.Errorf("told %v", kinds)
	}
	c.end()
	all.until(api.EventGone)
	select {
	case e := <-nobody.events:
		t.Errorf("told %+v", e)
	case <-time.After(50 * time.Millisecond):
	}
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	if asked < 4 {
		t.Errorf("asked %d times", asked)
	}
}

// TestAttack12ReaderThatDoesNotRead holds nobody up, and is told what it has missed.
func TestAttack12ReaderThatDoesNotRead(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, _ := w.run(c.owner(t))
	idle := w.reader(everybody)
	idle.until(api.EventReady)
	const more = 100
	began := time.Now()
	for range 2*queueLength + more { // as many as are queued may be in the reader's hand
		b.mu.Lock()
		b.tell(api.Event{Kind: api.EventState})
		b.mu.Unlock()
		if b.current().State != api.StateRunning {
			t.Fatal("it does not run")
		}
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("telling took %v", took)
	}
	kinds, events := idle.until(api.EventReady)
	dropped := slices.IndexFunc(events, func(e api.Event) bool { return e.Kind == api.EventDropped })
	if dropped < 0 {
		t.Fatalf("nothing was dropped: %v", kinds)
	}
	// All before are states. What came after it was told that some are missing, the
	// builds that are told again cover.
	told := dropped
	if lost := events[dropped].Dropped; lost < 1 || told+lost > 2*queueLength+more || told > 2*queueLength {
		t.Errorf("%d were told and %d dropped", told, events[dropped].Dropped)
	}
	if rest := kinds[dropped+1:]; !slices.Equal(rest, []api.EventKind{api.EventPresent, api.EventReady}) {
		t.Errorf("then comes %v", rest)
	}
}

func TestSilenceIsFilled(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.events.alive = soon
	r := w.reader(everybody)
	r.until(api.EventReady)
	for range 3 {
		if e := r.next(); e.Kind != api.EventAlive || e.Build != nil {
			t.Errorf("told %+v", e)
		}
	}
}

func TestWatchingEndsWithTheDaemonAndWithItsReader(t *testing.T) {
	w := newBench(t, longTimeouts)
	r := w.reader(everybody)
	r.until(api.EventReady)
	w.Close()
	if err := <-r.ended; !errors.Is(err, errStopping) {
		t.Errorf("ended by %v", err)
	}
	r.ended <- nil
	failed := errors.New("it can't be written")
	if err := w.Watch(context.Background(), everybody, func(api.Event) error { return failed }); err != failed {
		t.Errorf("ended by %v", err)
	}
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	if n := len(w.events.queues); n != 0 {
		t.Errorf("%d queues are left", n)
	}
}

// TestNothingIsMissedBetweenLookAndEvents begins to watch at any moment of a build's
// life: with what was there, the events lead to its end without a gap.
func TestNothingIsMissedBetweenLookAndEvents(t *testing.T) {
	w := newBench(t, longTimeouts)
	for range 30 {
		c := startChild(t, "")
		b, _ := w.run(c.owner(t))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				state := api.State("")
				done := errors.New("it is gone")
				err := w.Watch(context.Background(), everybody, func(e api.Event) error {
					switch {
					case e.Kind == api.EventReady && state == "":
						return done // it was gone before
					case e.Build == nil || e.Build.ID != b.id:
						return nil
					case e.Kind == api.EventPresent && state == "", e.Kind == api.EventRung && state == e.Build.State:
						state = e.Build.State
					case (e.Kind == api.EventState || e.Kind == api.EventGone) && e.Was == state:
						state = e.Build.State
					case e.Kind == api.EventRung:
						// A rung is left in the same moment as the state changes.
					default:
						t.Errorf("%s from %s to %s, known was %s", e.Kind, e.Was, e.Build.State, state)
					}
					if state == api.StateGone {
						return done
					}
					return nil
				})
				if err != done {
					t.Error(err)
				}
			})
		}
		c.end()
		w.end()
		all.Wait()
	}
}
