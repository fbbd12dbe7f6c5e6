package watch

import (
	"errors"
	"os"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes/processestest"
	"github.com/buildwatch/buildwatch/internal/request"
)

// step begins a step of a guest of the run.
func (w *bench) step(b *build, s *fakeScope, g *guest, container string) error {
	caller := owners.Caller{Handle: w.self, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	p := &Place{build: b, scope: s, caller: caller, container: container, guest: g}
	return p.Enter(func() error { return nil })
}

// TestBuilderThatIsKilledInARunLeavesNothing: the run, a script, goes on, and so do its other
// builders.
func TestBuilderThatIsKilledInARunLeavesNothing(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, _, program := runCaller(t)
	b, s := w.beginRun(caller, Run{Program: program})
	killed, other := startChild(t, ""), startChild(t, "")
	g, h := b.guestOf(killed.owner(t)), b.guestOf(other.owner(t))
	if again := b.guestOf(killed.owner(t)); again != g {
		t.Error("its next step is another builder's")
	}
	for container, of := range map[string]*guest{"a": g, "b": h} {
		if err := w.step(b, s, of, container); err != nil {
			t.Fatal(err)
		}
	}
	orphan := startChild(t, "")
	b.mu.Lock()
	b.see(processestest.NewStep(t, orphan.Process.Pid))
	b.unlock()
	b.seeOfGuest(g, processestest.NewStep(t, orphan.Process.Pid))
	killed.end()
	s.until(t, "kill container a")
	if status := orphan.wait(); !status.Signaled() {
		t.Errorf("what was not placed ended by itself: %v", status)
	}
	if now := b.current(); now.State != api.StateRunning {
		t.Errorf("the run is %+v", now)
	}
	for len(s.calls) > 0 {
		if call := <-s.calls; call != "kill container a" {
			t.Errorf("called %q", call)
		}
	}
	other.end()
	s.until(t, "kill container b")
}

// TestBuilderInARunThatNobodyWaitsForHasNoFurtherStep: the next is refused.
func TestBuilderInARunThatNobodyWaitsForHasNoFurtherStep(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, _, program := runCaller(t)
	b, s := w.beginRun(caller, Run{Program: program})
	builder, waiter := startChild(t, ""), startChild(t, "")
	g := b.guestOf(builder.owner(t, waiter))
	if err := w.step(b, s, g, "a"); err != nil {
		t.Fatal(err)
	}
	waiter.end()
	s.until(t, "kill container a")
	var ended EndedError
	if err := w.step(b, s, b.guestOf(builder.owner(t)), "b"); !errors.As(err, &ended) || ended.Reason != api.ReasonOwnerExited {
		t.Errorf("its next step: %v", err)
	}
	builder.end()
}

// TestRequestOfAServiceInARunEndsByItself.
func TestRequestOfAServiceInARunEndsByItself(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, _, program := runCaller(t)
	b, s := w.beginRun(caller, Run{Program: program})
	service := startChild(t, "")
	g := b.guestOf(served(t, service, "/var/tmp/libpod_builder1"))
	if err := w.step(b, s, g, "a"); err != nil {
		t.Fatal(err)
	}
	w.asked.standing <- request.Over
	s.until(t, "kill container a")
	service.end()
	if status := service.wait(); status.Signaled() {
		t.Errorf("the service got %v", status.Signal())
	}
}

// TestBuilderThatIsKilledInAReportedRunIsLeftAlone.
func TestBuilderThatIsKilledInAReportedRunIsLeftAlone(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.policy.Report = true
	caller, _, program := runCaller(t)
	b, s := w.beginRun(caller, Run{Program: program})
	builder := startChild(t, "")
	g := b.guestOf(builder.owner(t))
	if err := w.step(b, s, g, "a"); err != nil {
		t.Fatal(err)
	}
	builder.end()
	proctest.Eventually(t, "it is forgotten", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.guests) == 0
	})
	s.untouched(t)
}
