package request

import (
	"context"
	"sync"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// maxPeers is how many of them are waited for.
const maxPeers = 16

// peers are the processes at the other ends of a service's connections. That one ends is
// no more than an occasion to look.
type peers struct {
	gone chan struct{} // has an element when one has ended

	life    context.Context
	stop    context.CancelFunc
	known   map[int]bool
	waiting sync.WaitGroup
}

func newPeers(ctx context.Context) *peers {
	life, stop := context.WithCancel(ctx)
	return &peers{gone: make(chan struct{}, 1), life: life, stop: stop, known: map[int]bool{}}
}

// wait begins to wait for the processes that have made the connections.
func (p *peers) wait(conns []Conn) {
	for _, c := range conns[:min(len(conns), maxPeers)] {
		p.waitFor(c.peer)
	}
}

func (p *peers) waitFor(pid int) {
	if pid <= 0 || p.known[pid] || len(p.known) == maxPeers {
		return
	}
	p.known[pid] = true
	h, err := proc.Open(pid)
	if err != nil {
		return
	}
	p.waiting.Go(func() {
		defer h.Close()
		if h.Wait(p.life) != nil {
			return
		}
		select {
		case p.gone <- struct{}{}:
		default:
		}
	})
}

func (p *peers) close() {
	p.stop()
	p.waiting.Wait()
}
