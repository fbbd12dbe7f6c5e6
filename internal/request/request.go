// Package request tells whether the HTTP request that an API build belongs to is
// over. The service process lives on when a client disconnects, and so does the
// RUN step; two witnesses tell:
//
//   - the directory that the request's handler has made, and removes as it
//     returns;
//   - the service's connections: when all that were open while the request was
//     served have lost their peer, its own is among them.
//
// Neither directories nor connections say by themselves which request made them,
// so what is known of a request is a set of each. A directory alone is no proof:
// cleaners remove them as well, and anybody can make one of that name.
//
// The package reads; it decides nothing, and it opens nothing in a directory that
// a user has chosen: such a file system may hang.
package request

import (
	"context"
	"fmt"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Request is what is known of one request. It can be written down as JSON, and
// means the same request for as long as the host runs.
type Request struct {
	// Dirs are the directories that may be the request's. One: it is certain.
	// None: its directory is not where it can be watched, or is gone already.
	Dirs []Dir `json:"dirs,omitempty"`
	// Conns are the connections that the service had accepted when the request
	// was seen; the request's own is one of them.
	Conns []Conn `json:"conns,omitempty"`
	// Partial tells that there may have been more connections.
	Partial bool `json:"partial,omitempty"`
}

// MaxDirs and MaxConns bound what is kept of one request.
const MaxDirs, MaxConns = 16, 32

// Key tells a request from every other whose directory is certain, and is "" for
// all others.
func (r Request) Key() string {
	if len(r.Dirs) != 1 {
		return ""
	}
	return fmt.Sprintf("%s %d", r.Dirs[0].Path, r.Dirs[0].Inode)
}

// See returns what can be known of a request of the service now, while one of its
// RUN containers is being made. paths are the directories that may be the
// request's: what a process of the user has said. Only those count that are the
// user's, where services make them, and there.
func (*Watcher) See(_ context.Context, service *proc.Handle, uid uint32, paths []string) (Request, error) {
	var r Request
	for _, path := range paths[:min(len(paths), MaxDirs)] {
		if dir, err := look(path); err == nil && dir.UID == uid {
			r.Dirs = append(r.Dirs, dir)
		}
	}
	conns, err := accepted(service)
	if err != nil {
		return Request{}, fmt.Errorf("the service's connections: %w", err)
	}
	r.Partial = len(conns) > MaxConns
	r.Conns = conns[:min(len(conns), MaxConns)]
	return r, nil
}

// Standing is how much is left of a request.
type Standing int

// From wanted to over.
const (
	Live     Standing = iota // nothing speaks against it
	Doubtful                 // one witness says that it is over, the other can't tell
	Left                     // its directory is gone; its connection may be kept for another request
	Over                     // it is over for good: both witnesses say so
)

// Sight is what was seen of a request at one moment.
type Sight struct {
	Standing            Standing
	DirsGone, ConnsGone int // of Request.Dirs and Request.Conns
}

// standing decides on how many of the directories and connections are gone.
func (r Request) standing(dirsGone, connsGone int) Standing {
	noDir := len(r.Dirs) > 0 && dirsGone == len(r.Dirs)
	noConn := len(r.Conns) > 0 && connsGone == len(r.Conns) && !r.Partial
	switch {
	case noConn, noDir && connsGone > 0:
		return Over
	case noDir:
		return Left
	case len(r.Dirs) == 0, dirsGone > 0:
		return Doubtful
	}
	return Live
}
