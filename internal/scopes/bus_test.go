package scopes

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	systemd "github.com/coreos/go-systemd/v22/dbus"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// newBus returns a bus that is closed when the test ends.
func newBus(t *testing.T, dial func(context.Context) (*systemd.Conn, error)) (*bus, *counter) {
	t.Helper()
	life, end := context.WithCancel(context.Background())
	seen := &counter{}
	b := &bus{dial: dial, metrics: seen, life: life}
	t.Cleanup(func() {
		end()
		b.close()
	})
	return b, seen
}

func short(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// nothing is a request that only needs a connection.
func nothing(*systemd.Conn) error { return nil }

func TestBusThatCannotBeDialledIsTriedWithEachCall(t *testing.T) {
	refused := errors.New("connection refused")
	dials := 0
	b, seen := newBus(t, func(context.Context) (*systemd.Conn, error) { dials++; return nil, refused })
	for range 3 {
		if err := b.call(short(t), KillUnit, nothing); !errors.Is(err, ErrNoSystemd) || !errors.Is(err, refused) {
			t.Errorf("call = %v", err)
		}
	}
	connected, requests := seen.counted()
	if dials != 3 || connected != 0 || requests != "KillUnit failed, KillUnit failed, KillUnit failed" {
		t.Errorf("%d dials, %d connections, counted %q", dials, connected, requests)
	}
}

// Attack 29: PID 1 is silent for 90 s.
func TestDialThatHangsHoldsNobody(t *testing.T) {
	f := newFakeSystemd(t, "")
	var dials atomic.Int32
	dialled, answer := make(chan struct{}, 100), make(chan struct{})
	b, seen := newBus(t, func(ctx context.Context) (*systemd.Conn, error) {
		dials.Add(1)
		dialled <- struct{}{}
		<-answer
		return f.dial(ctx)
	})
	cause := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(context.Background())
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if err := b.call(ctx, KillUnit, nothing); !errors.Is(err, cause) && !errors.Is(err, ErrNoSystemd) {
				t.Errorf("call = %v", err)
			}
		})
	}
	<-dialled
	cancel(cause)
	calls.Wait()
	if n := dials.Load(); n != 1 {
		t.Errorf("%d dials at once", n)
	}
	// It answers at last: the dial that was under way serves the next call.
	close(answer)
	if err := b.call(short(t), KillUnit, nothing); err != nil {
		t.Errorf("call = %v", err)
	}
	if connected, _ := seen.counted(); dials.Load() != 1 || connected != 1 {
		t.Errorf("%d dials, %d connections", dials.Load(), connected)
	}
}

// Attack 29: systemd executes itself anew, and ends every connection.
func TestLostConnectionIsReplaced(t *testing.T) {
	f := newFakeSystemd(t, "")
	b, seen := newBus(t, f.dial)
	if err := b.call(short(t), StopUnit, nothing); err != nil {
		t.Fatal(err)
	}
	first, err := b.get(short(t))
	if err != nil {
		t.Fatal(err)
	}

	// Between two calls.
	f.hangUp()
	proctest.Eventually(t, "the connection is lost", func() bool { return !first.Connected() })
	if err := b.call(short(t), StopUnit, nothing); err != nil {
		t.Errorf("call = %v", err)
	}

	// Under a call: it is made once more, and only once.
	lost := errors.New("lost")
	attempts := 0
	err = b.call(short(t), StopUnit, func(conn *systemd.Conn) error {
		if attempts++; attempts == 1 {
			f.hangUp()
			proctest.Eventually(t, "the connection is lost", func() bool { return !conn.Connected() })
			return lost
		}
		return nil
	})
	if err != nil || attempts != 2 {
		t.Errorf("call = %v after %d attempts", err, attempts)
	}
	attempts = 0
	err = b.call(short(t), StopUnit, func(conn *systemd.Conn) error {
		attempts++
		f.hangUp()
		proctest.Eventually(t, "the connection is lost", func() bool { return !conn.Connected() })
		return lost
	})
	if !errors.Is(err, lost) || attempts != 2 {
		t.Errorf("call = %v after %d attempts", err, attempts)
	}

	// A refusal is not made once more.
	attempts = 0
	err = b.call(short(t), StopUnit, func(*systemd.Conn) error { attempts++; return dbusError("NoSuchUnit") })
	if !isNoSuchUnit(err) || attempts != 1 {
		t.Errorf("call = %v after %d attempts", err, attempts)
	}
	connected, requests := seen.counted()
	if connected != 5 || requests != "StopUnit, StopUnit, StopUnit, StopUnit failed, StopUnit" {
		t.Errorf("%d connections, counted %q", connected, requests)
	}
}

func TestCallThatIsNotAnsweredEndsWithTheContext(t *testing.T) {
	f := newFakeSystemd(t, "")
	f.silent["StopUnit"] = true
	b, seen := newBus(t, f.dial)
	cause := errors.New("no more time")
	ctx, cancel := context.WithCancelCause(context.Background())
	f.onCall = func(string) { cancel(cause) }
	err := b.callJob(ctx, StopUnit, func(conn *systemd.Conn, job chan<- string) error {
		_, err := conn.StopUnitContext(ctx, "x.scope", "replace", job)
		return err
	})
	if !errors.Is(err, cause) && !errors.Is(err, context.Canceled) {
		t.Errorf("callJob = %v", err)
	}
	if _, requests := seen.counted(); requests != "StopUnit failed" {
		t.Errorf("counted %q", requests)
	}
}

func TestJobIsAwaitedAndItsResultTold(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none") // a unit whose cgroup is gone
	f := newFakeSystemd(t, t.TempDir())
	b, _ := newBus(t, f.dial)
	stop := func(ctx context.Context) error {
		return b.callJob(ctx, StopUnit, func(conn *systemd.Conn, job chan<- string) error {
			_, err := conn.StopUnitContext(ctx, "x.scope", "replace", job)
			return err
		})
	}
	f.set(func() { f.units["x.scope"] = none })
	if err := stop(short(t)); err != nil {
		t.Errorf("a job that is done: %v", err)
	}
	f.set(func() { f.units["x.scope"], f.jobResult = none, "timeout" })
	if err := stop(short(t)); err == nil {
		t.Error("a job that timed out: no error")
	}
	if err := stop(short(t)); !isNoSuchUnit(err) {
		t.Errorf("no unit: %v", err)
	}
}
