//go:build linux

package runner

import (
	"context"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// shortages follows what a build with limits is short of, to tell its user in the end.
// The zero value follows nothing.
type shortages struct {
	cancel context.CancelFunc
	gone   chan struct{} // closed when nothing more will be told

	mu   sync.Mutex // lock order: 1
	last api.Shortage
}

// lastWords is how long the daemon may take to tell of a build's end, or to begin to tell.
const lastWords = time.Second

// follow begins it. One that did not ask for a limit costs no connection.
func (s *shortages) follow(o Options, build string) {
	if build == "" || len(o.Request.Properties) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.gone = cancel, make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(s.gone)
		c := client.New(o.Socket)
		defer c.Close()
		_ = c.Watch(ctx, func(e api.Event) error {
			if e.Kind == api.EventReady {
				close(ready)
			}
			if e.Build == nil || e.Build.ID != build {
				return nil
			}
			if e.Kind == api.EventShortage && e.Shortage != nil {
				s.mu.Lock()
				s.last = *e.Shortage
				s.mu.Unlock()
			}
			if e.Kind == api.EventGone {
				return context.Canceled
			}
			return nil
		})
	}()
	select {
	case <-ready:
	case <-s.gone: // it can't be followed, which is no reason not to build
	case <-time.After(lastWords):
	}
}

// end returns what the build was short of last, if it was, and ends the following.
func (s *shortages) end(failed bool) (api.Shortage, bool) {
	if s.cancel == nil {
		return api.Shortage{}, false
	}
	if failed {
		select {
		case <-s.gone:
		case <-time.After(lastWords):
		}
	}
	s.cancel()
	<-s.gone
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.last.Count > 0
}
