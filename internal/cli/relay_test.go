//go:build linux

package cli

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay passes connections on to a daemon, and later to another: as if one had been
// restarted.
type relay struct {
	mu     sync.Mutex
	target string
	open   []net.Conn
}

func newRelay(t *testing.T, socket, target string) *relay {
	t.Helper()
	r := &relay{target: target}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		r.to("")
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(conn)
		}
	}()
	return r
}

func (r *relay) pass(conn net.Conn) {
	defer conn.Close()
	r.mu.Lock()
	far, err := net.Dial("unix", r.target)
	if err == nil {
		r.open = append(r.open, conn, far)
	}
	r.mu.Unlock()
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		defer far.Close()
		_, _ = io.Copy(far, conn)
	}()
	_, _ = io.Copy(conn, far)
}

// to cuts all connections, and passes those that come on to another daemon.
func (r *relay) to(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
	for _, conn := range r.open {
		conn.Close()
	}
	r.open = nil
}
