package scopes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
)

// Method names a call to systemd, for those who count calls.
type Method string

// The methods that this package calls.
const (
	StartTransientUnit Method = "StartTransientUnit"
	KillUnit           Method = "KillUnit"
	StopUnit           Method = "StopUnit"
	GetProperties      Method = "GetAll"
	StartUnit          Method = "StartUnit"
)

// Methods lists every method that this package calls.
func Methods() []Method {
	return []Method{StartTransientUnit, KillUnit, StopUnit, GetProperties, StartUnit}
}

// Metrics is told of every call to systemd, including the wait for its job.
type Metrics interface {
	DBusRequest(method string, took time.Duration, err error)
	DBusConnected()
}

// bus is one connection to the service manager, dialled when it is first
// needed and again when it was lost (daemon-reexec ends it).
//
// It goes to systemd's private socket, not over the message bus: it works
// without the bus and while the bus restarts, and nobody but systemd can send
// a JobRemoved on it.
type bus struct {
	dial    func(context.Context) (*systemd.Conn, error)
	metrics Metrics
	life    context.Context // ends every connection

	mu      sync.Mutex // lock order: 5
	conn    *systemd.Conn
	dialing chan struct{} // closed when the dial under way has ended; nil when there is none
	dialErr error
}

// get returns a connection that was alive a moment ago. Only one dial is under
// way at a time: one that hangs, because PID 1 does, holds one goroutine.
func (b *bus) get(ctx context.Context) (*systemd.Conn, error) {
	for {
		b.mu.Lock()
		if b.conn != nil && b.conn.Connected() {
			defer b.mu.Unlock()
			return b.conn, nil
		}
		if b.dialing == nil {
			b.dialing = make(chan struct{})
			go b.redial(b.dialing)
		}
		done := b.dialing
		b.mu.Unlock()

		select {
		case <-done:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrNoSystemd, ctx.Err())
		}
		b.mu.Lock()
		err := b.dialErr
		b.mu.Unlock()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoSystemd, err)
		}
	}
}

func (b *bus) redial(done chan struct{}) {
	conn, err := b.dial(b.life)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil && b.life.Err() != nil {
		conn.Close() // it came after close, or comes before it: nobody wants it
		conn, err = nil, b.life.Err()
	}
	if b.conn != nil {
		b.conn.Close()
	}
	b.conn, b.dialErr, b.dialing = conn, err, nil
	if err == nil {
		b.metrics.DBusConnected()
	}
	close(done)
}

func (b *bus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil {
		b.conn.Close()
		b.conn = nil
	}
}

// call runs one request with a connection, once more with a new one where the
// first was lost under it, and never longer than the context allows:
// go-systemd holds a lock during a call whose job is awaited, and does not look
// at the context while it waits for that lock.
func (b *bus) call(ctx context.Context, method Method, request func(*systemd.Conn) error) error {
	started := time.Now()
	done := make(chan error, 1)
	go func() {
		for attempt := 0; ; attempt++ {
			conn, err := b.get(ctx)
			if err == nil {
				err = request(conn)
				if err != nil && !conn.Connected() && attempt == 0 {
					continue
				}
			}
			done <- err
			return
		}
	}()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	counted := err
	if isNoSuchUnit(err) || isUnitExists(err) {
		counted = nil // an answer, not a failure to get one
	}
	b.metrics.DBusRequest(string(method), time.Since(started), counted)
	return err
}

var errJob = errors.New("job ended with")

// callJob is call for a request that queues a job; it returns when the job has
// ended.
func (b *bus) callJob(ctx context.Context, method Method, request func(*systemd.Conn, chan<- string) error) error {
	return b.call(ctx, method, func(conn *systemd.Conn) error {
		result := make(chan string, 1)
		if err := request(conn, result); err != nil {
			return err
		}
		select {
		case r := <-result:
			if r != "done" {
				return fmt.Errorf("%w %q", errJob, r)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("job not ended: %w", context.Cause(ctx))
		}
	})
}
