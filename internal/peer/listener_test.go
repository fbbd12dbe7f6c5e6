package peer

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
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

// isClosed tells whether the other side has closed.
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
			if len(l.options.Limiter.open) != 0 {
				t.Errorf("places left taken: %v", l.options.Limiter.open)
			}
		})
	}
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
