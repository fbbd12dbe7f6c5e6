package peer

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// ErrLimit is why a connection beyond the limit was closed.
var ErrLimit = errors.New("too many connections of this user")

// ListenerOptions says how a Listener treats those who connect.
type ListenerOptions struct {
	// Limiter bounds the connections; nil for no bound.
	Limiter *Limiter
	// Pidfds keeps the peers' pidfds in their credentials. It costs a descriptor
	// for each connection.
	Pidfds bool
	// Refused is told of each connection that was closed at once, and why:
	// ErrLimit, or an identity that could not be had. Users can make it be called
	// as often as they like. It may be nil.
	Refused func(Credentials, error)
	// Identify replaces FromConn in tests. It is nil otherwise.
	Identify func(syscall.Conn) (Credentials, error)
}

// Listener hands out only connections whose peer is known and within the limit.
// All others are closed at once, unread and unanswered.
type Listener struct {
	*net.UnixListener
	options ListenerOptions
	closing chan struct{}
	close   func() error
}

// Listen puts a Listener on top of a listening socket, stream or seqpacket, and
// takes it over.
func Listen(l *net.UnixListener, options ListenerOptions) *Listener {
	if options.Identify == nil {
		options.Identify = FromConn
	}
	closing := make(chan struct{})
	return &Listener{UnixListener: l, options: options, closing: closing, close: sync.OnceValue(func() error {
		close(closing)
		return l.Close()
	})}
}

// Close stops listening. Connections that were handed out stay.
func (l *Listener) Close() error { return l.close() }

// Accept is AcceptPeer for those who want a net.Listener: the connection is a
// *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.AcceptPeer()
	if err != nil {
		return nil, err // not conn: a nil *Conn is no nil net.Conn
	}
	return conn, nil
}

// AcceptPeer waits for the next connection. It fails only for good, most often
// because the listener was closed: where descriptors or memory are short it
// tries again until there are some.
func (l *Listener) AcceptPeer() (*Conn, error) {
	const longest = time.Second
	pause := 5 * time.Millisecond
	for {
		conn, err := l.AcceptUnix()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			if conn := l.admit(conn); conn != nil {
				return conn, nil
			}
		case isShortage(err):
			select {
			case <-l.closing:
				return nil, err
			case <-time.After(pause):
				pause = min(2*pause, longest)
			}
		default:
			return nil, err
		}
	}
}

// isShortage tells errors that pass from those that stay.
//
// Source: accept(2).
func isShortage(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (l *Listener) admit(conn *net.UnixConn) *Conn {
	c, err := l.options.Identify(conn)
	release, ok := func() {}, true
	if err == nil && l.options.Limiter != nil {
		release, ok = l.options.Limiter.acquire(c, func() { _ = conn.Close() })
	}
	if !ok {
		err = ErrLimit
	}
	if err != nil {
		_ = c.Close()
		c.Pidfd = nil
		_ = conn.Close()
		if l.options.Refused != nil {
			l.options.Refused(c, err)
		}
		return nil
	}
	if !l.options.Pidfds {
		_ = c.Close()
		c.Pidfd = nil
	}
	return &Conn{UnixConn: conn, credentials: c, release: release}
}

// Conn is a connection whose peer is known.
type Conn struct {
	*net.UnixConn
	release func()

	mu          sync.Mutex // lock order: 1
	credentials Credentials
}

// Credentials tells who connected. The pidfd in it, if any, is closed with the
// connection unless it is taken.
func (c *Conn) Credentials() Credentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.credentials
}

// TakePidfd hands the peer's pidfd over to the caller, who closes it. It is nil
// where there is none, or it was taken before.
func (c *Conn) TakePidfd() *os.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	fd := c.credentials.Pidfd
	c.credentials.Pidfd = nil
	return fd
}

// Close closes the connection and gives its place back.
func (c *Conn) Close() error {
	err := c.UnixConn.Close()
	if fd := c.TakePidfd(); fd != nil {
		_ = fd.Close()
	}
	c.release()
	return err
}

// RemoteAddr describes the peer in the kernel's words. The path that the peer
// may have bound its end to is its own choice, and shown nowhere.
func (c *Conn) RemoteAddr() net.Addr { return addr(fmt.Sprint(c.Credentials())) }

type addr string

func (addr) Network() string  { return "unix" }
func (a addr) String() string { return string(a) }
