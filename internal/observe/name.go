package observe

import (
	"context"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Bounds on the wait for a process's arguments, which lie in its own memory, so that it
// can make who reads them wait.
const (
	nameLimit    = time.Second           // for one, in the background
	namePatience = 10 * time.Millisecond // in one look, for all that are asked
)

// names reads the arguments of processes that may be monitors, in the background. A look takes
// those that come at once; for the others it does not wait: they are taken by the
// look that is asked for when they have come.
type names struct {
	reader arguments
	late   func() // one has come that no look waited for

	mu    sync.Mutex // lock order: 5
	asked map[proc.Identity]*name
}

// arguments is package proc's Reader.
type arguments interface {
	Args(ctx context.Context, h *proc.Handle) ([]string, error)
}

// name is the arguments of one process.
type name struct {
	done chan struct{} // closed when what follows is set
	args []string
	err  error
	at   uint64 // entry.args when it was asked, if that is known
	late bool   // guarded by the lock of names
}

func newNames(reader arguments, late func()) *names {
	return &names{reader: reader, late: late, asked: map[proc.Identity]*name{}}
}

// ask begins to read the arguments of a process, unless that is under way. A process
// that has not executed anything since it was forked is called as its parent is, and is
// not asked.
func (n *names) ask(id proc.Identity, at uint64) {
	if !proc.HasExeced(id.PID) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asked[id] != nil {
		return
	}
	asked := &name{done: make(chan struct{}), at: at}
	n.asked[id] = asked
	go func() {
		asked.args, asked.err = n.read(id)
		close(asked.done)
		n.mu.Lock()
		late := asked.late && asked.err == nil
		n.mu.Unlock()
		if late {
			n.late()
		}
	}()
}

func (n *names) read(id proc.Identity) ([]string, error) {
	h, err := proc.Find(id)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(context.Background(), nameLimit)
	defer cancel()
	return n.reader.Args(ctx, h)
}

// wait waits for all that were asked and that no look has waited for yet, so long at most.
func (n *names) wait(limit time.Duration) {
	n.mu.Lock()
	var pending []*name
	for _, asked := range n.asked {
		if !asked.late {
			pending = append(pending, asked)
		}
	}
	n.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, asked := range pending {
		select {
		case <-asked.done:
		case <-timer.C:
			n.leave(pending)
			return
		}
	}
}

// waitFor waits for one.
func (n *names) waitFor(id proc.Identity, limit time.Duration) {
	n.mu.Lock()
	asked := n.asked[id]
	n.mu.Unlock()
	if asked == nil {
		return
	}
	select {
	case <-asked.done:
	case <-time.After(limit):
	}
}

// leave makes those late that are not known yet.
func (n *names) leave(pending []*name) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, asked := range pending {
		select {
		case <-asked.done:
		default:
			asked.late = true
		}
	}
}

// take returns the arguments of a process, if they are known.
func (n *names) take(id proc.Identity) (args []string, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	asked := n.asked[id]
	if asked == nil {
		return nil, false
	}
	select {
	case <-asked.done:
		delete(n.asked, id)
		return asked.args, asked.err == nil && len(asked.args) > 0
	default:
		return nil, false
	}
}

// known are the arguments that a process had when it was asked, which since then has executed
// nothing else; nil where they are not known.
func (n *names) known(id proc.Identity, at uint64) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if asked := n.asked[id]; asked != nil && asked.at == at && at != 0 {
		select {
		case <-asked.done:
			return asked.args
		default:
		}
	}
	return nil
}

// tidy forgets what nobody has taken.
func (n *names) tidy() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, asked := range n.asked {
		select {
		case <-asked.done:
			delete(n.asked, id)
		default:
		}
	}
}
