package request

import (
	"context"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// ownWithin is ownOf the connections that there are, by a reader that is left behind when
// it can't be told in time.
func (w *Watcher) ownWithin(ctx context.Context, s service, monitor *proc.Handle, conns []Conn) (Conn, bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, errSlow)
	defer cancel()
	type answer struct {
		conn Conn
		ok   bool
	}
	a, err := proc.Within(ctx, w.reader, s.account, func() (a answer, err error) {
		a.conn, a.ok, err = ownOf(s.Handle, monitor, conns)
		return a, err
	})
	return a.conn, a.ok, err
}

// withOwn is the request, of which the connection is known.
func (r Request) withOwn(own Conn) Request {
	r.Conns, r.Own, r.Partial = []Conn{own}, true, false
	return r
}

// search looks for a request's own connection until it is found. As long as the step is
// being made, the service may wait for something else than its monitor.
type search struct {
	monitor *proc.Handle // nil: there is nothing to be searched
	next    time.Time
	pause   time.Duration
}

// longestPause is that between two looks for a connection that does not show.
const longestPause = 30 * time.Second

func newSearch(r Request) *search {
	s := &search{pause: every / 2}
	if !r.Own && r.Monitor != (proc.Identity{}) {
		s.monitor, _ = proc.Find(r.Monitor) // its step is over: the next one is another search
	}
	return s
}

func (s *search) close() {
	if s.monitor != nil {
		s.monitor.Close()
	}
}

// due reports whether it is time for another look; in doubt it comes soon again.
func (s *search) due(doubt bool) bool {
	now := time.Now()
	if s.monitor == nil || now.Before(s.next) && !(doubt && s.pause > every) {
		return false
	}
	if s.pause = min(2*s.pause, longestPause); doubt {
		s.pause = every
	}
	s.next = now.Add(s.pause)
	return true
}

// seek looks for the request's own connection, and has it followed alone when it is found.
func (w *Watcher) seek(ctx context.Context, service service, s *search, f *follower) {
	conns, _, err := w.accepted(ctx, service, longLimit)
	if err != nil {
		return
	}
	own, ok, err := w.ownWithin(ctx, service, s.monitor, conns)
	if err != nil || !ok {
		return
	}
	f.request = f.request.withOwn(own)
	f.request.seen = time.Now()
	gone := f.last.gone
	*f = *follow(f.request)
	f.last.gone = gone
	s.close()
	s.monitor = nil
}
