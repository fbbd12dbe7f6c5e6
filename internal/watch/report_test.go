package watch

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/request"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// reported waits for the report of a build.
func (b *bench) reported() api.Reason {
	b.t.Helper()
	select {
	case reason := <-b.seen.reported:
		return reason
	case <-time.After(never):
		b.t.Fatal("nothing is reported")
		return ""
	}
}

// untouched fails the test if anything was called on the scope.
func (s *fakeScope) untouched(t *testing.T) {
	t.Helper()
	select {
	case call := <-s.calls:
		t.Errorf("called %q", call)
	default:
	}
}

func TestReportedBuildIsLeftAloneUntilItEndsByItself(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.policy.Report = true
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	c.end()
	if reason := w.reported(); reason != api.ReasonOwnerExited {
		t.Errorf("reported for %q", reason)
	}
	proctest.Eventually(t, "it is listed as that", func() bool {
		view := w.List(anybody)[0]
		return view.State == api.StateAbandoned && view.Reported && view.Reason == api.ReasonOwnerExited && !view.StateSince.IsZero()
	})
	untilLookedAt(t, &s.busyLooks, 2)
	s.untouched(t)
	s.set(func() { s.busy = false })
	if e := w.end(); e.reason != api.ReasonOwnerExited || e.cancel != 0 {
		t.Errorf("counted as %+v", e)
	}
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"discard", "close"}) {
		t.Errorf("called %v", calls)
	}
	if len(w.seen.rungs()) != 0 || len(w.seen.reported) != 0 || b.current().State != api.StateGone {
		t.Errorf("climbed %v, reported %d times more, now %+v", w.seen.rungs(), len(w.seen.reported), b.current())
	}
}

func TestReportedBuildIsEndedByStop(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.policy.Report = true
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	c.end()
	w.reported()
	view, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{})
	if err != nil || view.State != api.StateGone || view.Reason != api.ReasonStopped || view.Reported {
		t.Errorf("Stop: %+v, %v", view, err)
	}
	if e := w.end(); e.reason != api.ReasonStopped || e.cancel <= 0 {
		t.Errorf("counted as %+v", e)
	}
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill", "stop", "close"}) {
		t.Errorf("called %v", calls)
	}
}

// TestReportedBuildMayHaveFurtherSteps: one that is refused would fail the build.
func TestReportedBuildMayHaveFurtherSteps(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.policy = Policy{Report: true, MaxRuntime: 50 * time.Millisecond}
	c := startChild(t, "")
	b, s := w.run(c.owner(t))
	if reason := w.reported(); reason != api.ReasonDeadline {
		t.Errorf("reported for %q", reason)
	}
	p, err := w.place(context.Background(), c.owner(t))
	if err != nil || p.build != b {
		t.Fatalf("its next step: %+v, %v", p, err)
	}
	if err := p.Enter(func() error { return nil }); err != nil {
		t.Errorf("its next step: %v", err)
	}
	proctest.After(t, time.Now(), 2*reportPause)
	s.untouched(t)
	s.set(func() { s.busy = false }) // between two steps
	proctest.After(t, time.Now(), 2*reportPause)
	if now := b.current(); now.Stage != lifecycle.StageReported {
		t.Errorf("its owner lives, and it is %+v", now)
	}
	c.end()
	if e := w.end(); e.reason != api.ReasonDeadline || e.cancel != 0 {
		t.Errorf("counted as %+v", e)
	}
}

// TestReportedAPIBuildEndsWithItsContainers: its scope's keeper lives as long as the
// service does.
func TestReportedAPIBuildEndsWithItsContainers(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.policy.Report = true
	c := startChild(t, "")
	_, s := w.run(served(t, c, "/var/tmp/libpod_builder1"))
	w.asked.standing <- request.Over
	if reason := w.reported(); reason != api.ReasonClientDisconnected {
		t.Errorf("reported for %q", reason)
	}
	s.untouched(t)
	s.set(func() { s.busy = false })
	if e := w.end(); e.reason != api.ReasonClientDisconnected {
		t.Errorf("counted as %+v", e)
	}
	c.end()
	if status := c.wait(); status.Signaled() {
		t.Errorf("the service got %v", status.Signal())
	}
}

func TestReportedBuildIsReportedAgainByTheNextDaemon(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.policy.Report = true
	r := owners.Record{ID: owners.NewID(), Mode: api.ModeLocal, Command: "podman build"}
	r.Owner.PID, r.Owner.Start = 1<<22, 1 // above the largest pid_max
	s := newFakeScope(scopes.Spec{ID: r.ID, Record: r.Encode()})
	s.set(func() { s.busy = true })
	if err := w.Adopt(s, r.Encode()); err != nil {
		t.Fatal(err)
	}
	if reason := w.reported(); reason != api.ReasonOwnerExited {
		t.Errorf("reported for %q", reason)
	}
	s.untouched(t)
	if _, err := w.Stop(context.Background(), r.ID, 0, api.StopRequest{}); err != nil {
		t.Error(err)
	}
}
