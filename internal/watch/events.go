package watch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// queueLength is how many events wait for one who watches; what comes then is
// dropped, and counted.
const queueLength = 256

// hub hands on what happens to builds to those who watch. To tell it something
// never waits: who does not read loses events, and nobody else does.
type hub struct {
	alive time.Duration // how long there is silence at most

	mu sync.Mutex // lock order: 4
	// +checklocks:mu
	number uint64 // of the last event
	// +checklocks:mu
	queues []*queue
}

// queue is what one who watches has not read yet. The hub's lock guards it.
type queue struct {
	may     func(api.User) bool
	woken   chan struct{} // holds a token when there is something to take
	events  []numbered
	dropped int
}

// numbered is an event with its place among all events: a look at a build knows after
// which of them it came.
type numbered struct {
	number uint64
	event  *api.Event // shared by all queues, and never changed
}

// follow makes a queue for the events of the users' builds that may lets pass. It is
// asked for each event, so it must not wait.
func (h *hub) follow(may func(api.User) bool) *queue {
	q := &queue{may: may, woken: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queues = append(h.queues, q)
	return q
}

func (h *hub) leave(q *queue) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queues = slices.DeleteFunc(h.queues, func(other *queue) bool { return other == q })
}

// publish puts an event into every queue of those who may see it.
func (h *hub) publish(e api.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.number++
	for _, q := range h.queues {
		if !q.may(e.Build.User) {
			continue
		}
		if len(q.events) < queueLength {
			q.events = append(q.events, numbered{h.number, &e})
		} else {
			q.dropped++
		}
		select {
		case q.woken <- struct{}{}:
		default:
		}
	}
}

// last is the number of the last event.
func (h *hub) last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.number
}

// take empties the queue.
func (h *hub) take(q *queue) (events []numbered, dropped int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	events, dropped = q.events, q.dropped
	q.events, q.dropped = nil, 0
	return events, dropped
}

// tell tells those who watch what has happened to the build. It is called with the
// build's lock, so that the events of one build are in order, and never waits. Time
// and build are filled in.
//
// +checklocks:b.mu
func (b *build) tell(e api.Event) {
	if b.held.None() {
		return // it has had no container: nobody knows of it
	}
	head := b.head()
	e.Time, e.Build = time.Now(), &head
	b.watcher.events.publish(e)
}

var errStopping = errors.New("the daemon stops")

// Watch calls each with the builds that there are and, from then on, with all that happens to
// builds, of those users that may lets pass. It returns when ctx ends, the daemon stops, or each
// fails, with the error that says which. If each is too slow, events are dropped: it is told how
// many, and then of all builds anew.
func (w *Watcher) Watch(ctx context.Context, may func(api.User) bool, each func(api.Event) error) error {
	q := w.events.follow(may)
	defer w.events.leave(q)
	silence := time.NewTimer(w.events.alive)
	defer silence.Stop()
	shown, err := w.present(may, each)
	if err != nil {
		return err
	}
	for {
		events, dropped := w.events.take(q)
		for _, e := range events {
			if e.number <= shown[e.event.Build.ID] {
				continue // the look at the build came after it
			}
			if err := each(*e.event); err != nil {
				return err
			}
		}
		if dropped > 0 {
			if err := each(api.Event{Time: time.Now(), Kind: api.EventDropped, Dropped: dropped}); err != nil {
				return err
			}
			if shown, err = w.present(may, each); err != nil {
				return err
			}
		}
		silence.Reset(w.events.alive)
		select {
		case <-q.woken:
		case <-silence.C:
			if err := each(api.Event{Time: time.Now(), Kind: api.EventAlive}); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.life.Done():
			return errStopping
		}
	}
}

// Follow calls each when something about any build has changed, until ctx ends or the daemon
// stops. Changes during a call lead to one more call. It costs nothing in between.
func (w *Watcher) Follow(ctx context.Context, each func()) {
	q := w.events.follow(func(api.User) bool { return true })
	defer w.events.leave(q)
	for {
		select {
		case <-q.woken:
			w.events.take(q)
			each()
		case <-ctx.Done():
			return
		case <-w.life.Done():
			return
		}
	}
}

// present tells of the builds that there are, oldest first, and returns for each
// the number of the last event that what was told has in it.
func (w *Watcher) present(may func(api.User) bool, each func(api.Event) error) (shown map[string]uint64, err error) {
	shown = map[string]uint64{}
	var there []api.Event
	for _, b := range w.all() {
		if !may(b.user) {
			continue
		}
		b.mu.Lock()
		if !b.held.None() && b.status.State != api.StateGone {
			head := b.head()
			there = append(there, api.Event{Time: time.Now(), Kind: api.EventPresent, Build: &head})
			shown[b.id] = w.events.last()
		}
		b.mu.Unlock()
	}
	slices.SortFunc(there, func(a, b api.Event) int { return a.Build.CreatedAt.Compare(b.Build.CreatedAt) })
	for _, e := range append(there, api.Event{Time: time.Now(), Kind: api.EventReady}) {
		if err := each(e); err != nil {
			return nil, err
		}
	}
	return shown, nil
}
