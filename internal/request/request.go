// Package request reports whether the HTTP request that an API build belongs to is
// over. The service process lives on when a client disconnects, and so does the
// RUN step; two witnesses tell:
//
//   - the directory that the request's handler has made, and removes as it
//     returns;
//   - the service's connections: the handler returns because its own was closed by
//     the peer, and it is closed by the service right after that.
//
// Which directory it is, the step's monitor was told, unless the context lies elsewhere;
// which connection, the goroutine knows that runs the step in the service. Where the one
// or the other can't be read, what is known of a request is a set. A directory alone is no
// proof: cleaners remove them as well, and anybody can make one of that name.
//
// The package reads; it decides nothing, and it opens nothing in a directory that
// a user has chosen: such a file system may hang.
package request

import (
	"context"
	"errors"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Request is what is known of one request. It can be written down as JSON, and
// means the same request for as long as the host runs.
type Request struct {
	// Service is the process that serves it. Earlier daemons have not written it down.
	Service proc.Identity `json:"service,omitzero"`
	// Monitor is that of the step by which it was seen.
	Monitor proc.Identity `json:"monitor,omitzero"`
	// Dirs are the directories that may be the request's. One: it is certain.
	// None: its directory is not where it can be watched.
	Dirs []Dir `json:"dirs,omitempty"`
	// Conns are the connections that the service had accepted when the request
	// was seen; the request's own is one of them.
	Conns []Conn `json:"conns,omitempty"`
	// Own tells that it is the only one of them.
	Own bool `json:"own,omitempty"`
	// Partial tells that there may have been more connections.
	Partial bool `json:"partial,omitempty"`

	seen time.Time // when that was; zero for one that was written down
}

// MaxDirs bounds what is kept of one request, and MaxConns what is written down of it.
const MaxDirs, MaxConns = 16, 48

// Short is as much of the request as may be written down.
func (r Request) Short() Request {
	r.Partial = r.Partial || len(r.Conns) > MaxConns
	r.Conns = r.Conns[:min(len(r.Conns), MaxConns)]
	return r
}

// Key tells a request from every other whose directory is certain, and is "" for
// all others.
func (r Request) Key() string {
	if len(r.Dirs) != 1 {
		return ""
	}
	return r.Dirs[0].Path
}

// current is the request without what an earlier daemon has written down of its
// connections, where that does not say by which descriptors.
func (r Request) current() Request {
	for _, c := range r.Conns {
		if c.FD == 0 {
			r.Conns, r.Partial, r.seen = nil, true, time.Time{}
			break
		}
	}
	return r
}

// lookLimit bounds a look at a service's descriptors, or at a process's memory, while a
// step waits; longLimit one that nobody waits for.
const lookLimit, longLimit = 200 * time.Millisecond, time.Second

// errSlow is the cause of the end of a look.
var errSlow = errors.New("it takes too long")

// See returns what can be known of the request for which the service runs a step now,
// as the user. monitor is the step's. What can't be found out is missing in it, and the
// error says why.
func (w *Watcher) See(ctx context.Context, service, monitor *proc.Handle, uid uint32) (Request, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*lookLimit, errSlow)
	defer cancel()
	r := Request{Service: service.Identity, Monitor: monitor.Identity}
	dirs, dirErr := w.dirsOf(ctx, service, monitor, uid)
	if len(dirs) <= MaxDirs { // of more none counts
		r.Dirs = dirs
	}
	var conns []Conn
	all := false
	s, connErr := w.serving(service)
	if connErr == nil {
		conns, all, connErr = w.accepted(ctx, s, lookLimit)
	}
	r.Conns, r.Partial = conns, !all
	var ownErr error
	if connErr == nil {
		var own Conn
		var ok bool
		if own, ok, ownErr = w.ownWithin(ctx, s, monitor, conns); ok {
			r = r.withOwn(own)
		}
	}
	r.seen = time.Now()
	return r, errors.Join(dirErr, connErr, ownErr)
}

// Standing is how much is left of a request.
type Standing int

// From wanted to over.
const (
	Live     Standing = iota // nothing speaks against it
	Doubtful                 // one witness says that it is over, the other can't tell
	Left                     // its directory is gone; whether its handler has removed it can't be told
	Over                     // it is over for good
)

// Sight is what was seen of a request at one moment.
type Sight struct {
	Standing         Standing
	Dirs, DirsGone   int // directories that may be its own, and how many of them are gone
	Conns, ConnsGone int // connections that may be its own, and how many of them are over
	// Partial tells that there may be more connections, or that they can't be looked at.
	Partial bool
}
