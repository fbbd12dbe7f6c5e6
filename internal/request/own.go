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
	doubt   bool         // whether it could not be told, at the last look, if the request is over
	next    time.Time
	pause   time.Duration
}

// longestPause is that between two looks for a connection that does not show.
const longestPause = 30 * time.Second

func newSearch(r Request) *search {
	s := &search{pause: every}
	if !r.Own && r.Monitor != (proc.Identity{}) {
		s.monitor, _ = proc.Find(r.Monitor) // else its step is over: the next one is another search
	}
	return s
}

func (s *search) close() {
	if s.monitor != nil {
		s.monitor.Close()
		s.monitor = nil
	}
}

// due reports whether it is time for another look: less and less often, but at once where
// doubt arises.
func (s *search) due(doubt bool, now time.Time) bool {
	if doubt && !s.doubt {
		s.next, s.pause = now, every
	}
	s.doubt = doubt
	if s.monitor == nil || now.Before(s.next) {
		return false
	}
	s.next, s.pause = now.Add(s.pause), min(2*s.pause, longestPause)
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
}
