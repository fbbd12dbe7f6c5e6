package watch

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// betweenSteps begins a build whose only step has ended.
func (b *bench) betweenSteps(c *child) (*build, *fakeScope) {
	built, s := b.run(c.owner(b.t))
	s.set(func() { s.busy = false })
	return built, s
}

// nextStep is what becomes of the build's next step.
func (b *bench) nextStep(c *child) error {
	p, err := b.place(context.Background(), c.owner(b.t))
	if err != nil {
		return err
	}
	return p.Enter(func() error { return nil })
}

func isEnded(err error) bool {
	var ended EndedError
	return errors.As(err, &ended)
}

// TestStopBetweenTwoStepsSendsNothing: the owner may commit, copy, or be about to end.
// Its next step is refused, however late; who has asked is told when the time that was
// given is over.
func TestStopBetweenTwoStepsSendsNothing(t *testing.T) {
	w := newBench(t, Timeouts{soon, soon, soon, soon, soon, soon, soon})
	c := startChild(t, `trap "exit 3" TERM HUP INT`)
	b, s := w.betweenSteps(c)
	for range 2 {
		view, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{})
		if err != nil || view.State != api.StateAbandoned || view.Reason != api.ReasonStopped || !view.Refusing {
			t.Fatalf("Stop = %+v, %v", view, err)
		}
	}
	detail, err := w.Detail(b.id)
	if err != nil || !detail.Refusing || len(detail.Ladder) != 0 {
		t.Errorf("it is shown as %+v, %v", detail, err)
	}
	if err := w.nextStep(c); !isEnded(err) {
		t.Errorf("the next step: %v", err)
	}
	proctest.Eventually(t, "it is known that a step was refused", func() bool { return b.current().Refused })
	c.end()
	if e := w.end(); e.reason != api.ReasonStopped || e.cancel != 0 {
		t.Errorf("counted as %+v", e)
	}
	if status := c.wait(); status != 1<<8 && status != 0 {
		t.Errorf("the owner's status is %#x: it was told to end", status)
	}
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"discard", "close"}) {
		t.Errorf("called %v", calls)
	}
}

// TestBuildThatCompletesThoughItWasToEnd has no further step.
func TestBuildThatCompletesThoughItWasToEnd(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	b, _ := w.betweenSteps(c)
	go func() {
		proctest.Eventually(t, "it is to end", func() bool { return b.current().Refusing() })
		c.end()
	}()
	view, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{})
	if err != nil || view.State != api.StateGone || view.Reason != api.ReasonCompleted {
		t.Errorf("Stop = %+v, %v", view, err)
	}
	if e := w.end(); e.reason != api.ReasonCompleted {
		t.Errorf("counted as %+v", e)
	}
}

// TestMaxRuntimeBetweenTwoSteps sends nothing either.
func TestMaxRuntimeBetweenTwoSteps(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, `trap "exit 3" TERM`)
	b, _ := w.betweenSteps(c)
	b.send(message{event: lifecycle.MaxRuntimePassed})
	proctest.Eventually(t, "it is to end", func() bool { return b.current().Refusing() })
	if err := w.nextStep(c); !isEnded(err) {
		t.Errorf("the next step: %v", err)
	}
	proctest.Eventually(t, "it is known that a step was refused", func() bool { return b.current().Refused })
	c.end()
	if e := w.end(); e.reason != api.ReasonDeadline {
		t.Errorf("counted as %+v", e)
	}
}

// TestOwnerThatGoesOnAfterItsStepGetsNoSignal: it has seen the end of the step that was
// stopped, and has something else to do, such as another stage's COPY.
func TestOwnerThatGoesOnAfterItsStepGetsNoSignal(t *testing.T) {
	w := newBench(t, Timeouts{never, soon, soon, never, never, soon, soon})
	w.inStep = func(context.Context, *owners.Owner) bool { return false }
	c := startChild(t, `trap "exit 3" TERM`)
	b, _ := w.run(c.owner(t))
	view, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{})
	if err != nil || !view.Refusing || view.Reason != api.ReasonStopped {
		t.Fatalf("Stop = %+v, %v", view, err)
	}
	if err := w.nextStep(c); !isEnded(err) {
		t.Errorf("the next step: %v", err)
	}
	c.end()
	if e := w.end(); e.reason != api.ReasonStopped {
		t.Errorf("counted as %+v", e)
	}
}

// TestOwnerThatNobodyWaitsForIsEndedBetweenTwoSteps: its user's command is gone.
func TestOwnerThatNobodyWaitsForIsEndedBetweenTwoSteps(t *testing.T) {
	w := newBench(t, Timeouts{never, soon, never, never, never, soon, soon})
	w.inStep = func(context.Context, *owners.Owner) bool { return false }
	c, client := startChild(t, ""), startChild(t, "")
	_, s := w.run(c.owner(t, client))
	s.set(func() { s.busy = false })
	client.end()
	go s.clear()
	if e := w.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("counted as %+v", e)
	}
	if status := c.wait(); status != syscall.WaitStatus(syscall.SIGTERM) {
		t.Errorf("the owner's status is %#x", status)
	}
}

// TestStopBetweenTwoStepsOutlivesTheDaemon: the next one refuses the step.
func TestStopBetweenTwoStepsOutlivesTheDaemon(t *testing.T) {
	for _, row := range []struct {
		why    api.Reason
		report bool
		refuse bool
	}{{api.ReasonStopped, false, true}, {api.ReasonStopped, true, true}, {api.ReasonDeadline, false, true}, {api.ReasonDeadline, true, false}} {
		before := newBench(t, Timeouts{soon, soon, soon, soon, soon, soon, soon})
		c := startChild(t, `trap "exit 3" TERM`)
		b, s := before.betweenSteps(c)
		if row.why == api.ReasonStopped {
			if _, err := before.Stop(context.Background(), b.id, 0, api.StopRequest{}); err != nil {
				t.Fatal(err)
			}
		} else {
			b.send(message{event: lifecycle.MaxRuntimePassed})
		}
		proctest.Eventually(t, "it is written down", func() bool { return before.b(b).Refusing() && string(s.written()) != string(b.record.Encode()) })
		before.Close()

		w := newBench(t, longTimeouts)
		w.policy.Report = row.report
		again := newFakeScope(s.spec)
		if err := w.Adopt(again, s.written()); err != nil {
			t.Fatal(err)
		}
		list := w.List(anybody)
		if len(list) != 1 || list[0].ID != b.id || list[0].Refusing != row.refuse {
			t.Fatalf("%+v: the list is %+v", row, list)
		}
		if err := w.nextStep(c); isEnded(err) != row.refuse {
			t.Errorf("%+v: the next step: %v", row, err)
		}
		other := startChild(t, "")
		if err := w.nextStep(other); err != nil {
			t.Errorf("another build's step: %v", err)
		}
		other.end()
		c.end()
		w.Close()
	}
}

func (b *bench) b(of *build) lifecycle.Status { return of.current() }

func (s *fakeScope) SetRecord(record []byte) error {
	s.set(func() { s.record = record })
	return nil
}

func (s *fakeScope) written() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.record)
}
