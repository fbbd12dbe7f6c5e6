package metrics

import (
	"net"
	"sync"
	"time"
)

// limitListener has a bounded number of connections open. For a further one that is closed
// which has been quiet longest: who holds connections and says nothing, or reads nothing, keeps
// nobody from the metrics.
type limitListener struct {
	net.Listener
	most int

	mu   sync.Mutex               // lock order: 1; guards open
	open map[*limitConn]time.Time // and when a byte came or went last
}

func limit(l net.Listener, connections int) net.Listener {
	return &limitListener{Listener: l, most: connections, open: map[*limitConn]time.Time{}}
}

func (l *limitListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &limitConn{conn, l}
	if quiet := l.add(c); quiet != nil {
		_ = quiet.Conn.Close()
	}
	return c, nil
}

// add takes up a connection, and returns the one that it takes the place of; nil for none.
func (l *limitListener) add(c *limitConn) (quiet *limitConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.most {
		for other, last := range l.open {
			if quiet == nil || last.Before(l.open[quiet]) {
				quiet = other
			}
		}
		delete(l.open, quiet)
	}
	l.open[c] = time.Now()
	return quiet
}

// heard notes that a byte came or went.
func (l *limitListener) heard(c *limitConn, n int) {
	if n <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.open[c]; open {
		l.open[c] = time.Now()
	}
}

// limitConn is one of them.
type limitConn struct {
	net.Conn
	of *limitListener
}

func (c *limitConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.of.heard(c, n)
	return n, err
}

func (c *limitConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.of.heard(c, n)
	return n, err
}

func (c *limitConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
