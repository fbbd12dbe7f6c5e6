package peer

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// listen returns a Listener and a function that connects to it.
func listen(t *testing.T, network string, options ListenerOptions) (*Listener, func() net.Conn) {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: network}
	inner, err := net.ListenUnix(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(inner, options)
	t.Cleanup(func() { l.Close() })
	return l, func() net.Conn {
		conn, err := net.DialUnix(network, nil, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// isClosed reports whether the other side has closed.
func isClosed(t *testing.T, conn net.Conn) bool {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

func TestConnectionsBeyondTheLimitAreClosedAtOnce(t *testing.T) {
	for _, network := range []string{"unix", "unixpacket"} {
		t.Run(network, func(t *testing.T) {
			refused := make(chan error, 10)
			l, connect := listen(t, network, ListenerOptions{
				Limiter: NewLimiter(1, 1),
				Refused: func(_ Credentials, err error) { refused <- err },
			})
			connect()
			first, err := l.AcceptPeer()
			if err != nil {
				t.Fatal(err)
			}
			if first.Credentials().PID != os.Getpid() || first.TakePidfd() != nil {
				t.Errorf("got %+v, want ourselves without a pidfd", first.Credentials())
			}
			over := connect()
			accepted := make(chan *Conn)
			go func() {
				conn, err := l.AcceptPeer()
				if err != nil {
					t.Error(err)
				}
				accepted <- conn
			}()
			if !isClosed(t, over) {
				t.Error("the second is not closed")
			}
			if err := <-refused; !errors.Is(err, ErrLimit) {
				t.Errorf("refused because of %v", err)
			}
			first.Close()
			first.Close() // gives the place back once
			connect()
			if conn := <-accepted; conn != nil {
				conn.Close()
			}
			if n := l.options.Limiter.places.InUse(); n != 0 {
				t.Errorf("%d places are left taken", n)
			}
		})
	}
}

// TestManyUsersWithManyConnectionsShutNobodyOut: 40 users take all that they can get, and
// keep it. Whoever comes then is served, at the cost of who has the most.
func TestManyUsersWithManyConnectionsShutNobodyOut(t *testing.T) {
	var uid atomic.Uint32
	limiter := NewLimiter(16, 64)
	l, connect := listen(t, "unix", ListenerOptions{
		Limiter:  limiter,
		Identify: func(syscall.Conn) (Credentials, error) { return Of(1, uid.Load(), 0), nil },
	})
	accepted := make(chan *Conn, 1)
	go func() {
		for {
			conn, err := l.AcceptPeer()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	var all []*Conn
	for n := range uint32(40) {
		uid.Store(1000 + n)
		for range 16 {
			over := connect()
			select {
			case conn := <-accepted:
				all = append(all, conn)
				continue
			case <-closedSoon(over):
			}
			break
		}
	}
	uid.Store(5000)
	theirs := connect()
	conn := <-accepted
	defer conn.Close()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Read(make([]byte, 1)); err != nil {
		t.Errorf("who comes last is not served: %v", err)
	}
	if n := limiter.places.InUse(); n != 64 {
		t.Errorf("%d connections are open, want 64", n)
	}
	for _, conn := range all {
		conn.Close()
	}
}

// closedSoon is closed when the other side has closed.
func closedSoon(conn net.Conn) <-chan struct{} {
	closed := make(chan struct{})
	go func() {
		_, _ = conn.Read(make([]byte, 1))
		close(closed)
	}()
	return closed
}

func TestPeerWithoutIdentityIsRefused(t *testing.T) {
	unknown := errors.New("cannot tell")
	refused := make(chan error, 1)
	l, connect := listen(t, "unix", ListenerOptions{
		Identify: func(syscall.Conn) (Credentials, error) { return Credentials{}, unknown },
		Refused:  func(_ Credentials, err error) { refused <- err },
	})
	go func() { _, _ = l.AcceptPeer() }()
	if !isClosed(t, connect()) {
		t.Error("not closed")
	}
	if err := <-refused; !errors.Is(err, unknown) {
		t.Errorf("refused because of %v", err)
	}
}

func TestPidfdIsTakenOrClosed(t *testing.T) {
	l, connect := listen(t, "unixpacket", ListenerOptions{Pidfds: true})
	connect()
	conn, err := l.AcceptPeer()
	if err != nil {
		t.Fatal(err)
	}
	fd := conn.TakePidfd()
	if fd == nil || conn.TakePidfd() != nil {
		t.Fatal("the pidfd is not handed over once")
	}
	conn.Close()
	if ended(fd) {
		t.Error("closed with the connection though taken")
	}
	fd.Close()

	connect()
	if conn, err = l.AcceptPeer(); err != nil {
		t.Fatal(err)
	}
	fd = conn.Credentials().Pidfd
	conn.Close()
	if err := fd.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("not closed with the connection: %v", err)
	}
}

func TestCloseEndsAccept(t *testing.T) {
	l, _ := listen(t, "unix", ListenerOptions{})
	done := make(chan error)
	go func() {
		_, err := l.Accept()
		done <- err
	}()
	l.Close()
	l.Close() // may come twice
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
