package watch

import (
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

func TestMaxRuntimeEndsEveryBuild(t *testing.T) {
	w := newBench(t, Timeouts{never, soon, never, never, never, soon, soon})
	w.policy.MaxRuntime = 50 * time.Millisecond
	local, service := startChild(t, ""), startChild(t, "")
	_, s := w.run(local.owner(t))
	if e := w.end(); e.reason != api.ReasonDeadline || e.lived < w.policy.MaxRuntime {
		t.Errorf("a local build is counted as %+v", e)
	}
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill", "stop", "close"}) {
		t.Errorf("called %v", calls)
	}
	if status := local.wait(); !status.Signaled() {
		t.Error("its owner lives")
	}
	w.run(served(t, service, "/var/tmp/libpod_builder1"))
	if e := w.end(); e.reason != api.ReasonDeadline || e.mode != api.ModeAPI {
		t.Errorf("an API build is counted as %+v", e)
	}
	service.end()
	if status := service.wait(); status.Signaled() {
		t.Errorf("the service got %v", status.Signal())
	}
}

// TestMaxRuntimeCountsFromTheBeginning, also for a build that an earlier daemon has
// begun; and by the present daemon's configuration.
func TestMaxRuntimeCountsFromTheBeginning(t *testing.T) {
	for _, row := range []struct {
		name string
		ago  time.Duration // it began; 0: the record does not say
		max  time.Duration
		ends bool
	}{
		{"its time was over before", 2 * time.Second, time.Second, true},
		{"it has time left", time.Second, time.Hour, false},
		{"it has no end", 2 * time.Second, 0, false},
		{"its beginning is not known", 0, time.Hour, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newBench(t, Timeouts{never, soon, never, never, never, soon, soon})
			w.policy.MaxRuntime = row.max
			c := startChild(t, "")
			o := c.owner(t)
			r := owners.Record{ID: owners.NewID(), Mode: api.ModeLocal, Owner: o.Identity, Command: "podman build", CreatedUSec: time.Now().Add(-48 * time.Hour).UnixMicro()}
			o.Close()
			if row.ago > 0 {
				r.StartedUSec = (monotonic() - row.ago).Microseconds()
			}
			s := newFakeScope(scopes.Spec{ID: r.ID, Record: r.Encode()})
			s.set(func() { s.busy = true })
			if err := w.Adopt(s, r.Encode()); err != nil {
				t.Fatal(err)
			}
			if row.ends {
				if e := w.end(); e.reason != api.ReasonDeadline {
					t.Errorf("counted as %+v", e)
				}
				return
			}
			if at := w.called(r.ID).lastMoment(); at != 0 && at < monotonic()+row.max/2 {
				t.Errorf("its time is over in %v", at-monotonic())
			}
			if view := w.List(anybody)[0]; view.State != api.StateRunning {
				t.Errorf("it is %+v", view)
			}
		})
	}
}

func TestTheEarlierDeadlineCounts(t *testing.T) {
	for _, row := range []struct{ own, all time.Duration }{{50 * time.Millisecond, time.Hour}, {time.Hour, 50 * time.Millisecond}} {
		w := newBench(t, Timeouts{never, soon, soon, never, never, soon, soon})
		w.policy.MaxRuntime = row.all
		caller, _, program := runCaller(t)
		w.beginRun(caller, Run{Program: program, Spec: processes.Spec{Limits: limits.Limits{RuntimeMax: row.own}}})
		if e := w.end(); e.reason != api.ReasonDeadline || e.mode != api.ModeRun {
			t.Errorf("%+v: counted as %+v", row, e)
		}
	}
}

// TestOwnDeadlineActsUnderTheReportPolicy: it is its user's wish.
func TestOwnDeadlineActsUnderTheReportPolicy(t *testing.T) {
	w := newBench(t, Timeouts{never, soon, soon, never, never, soon, soon})
	w.policy.Report = true
	caller, _, program := runCaller(t)
	w.beginRun(caller, Run{Program: program, Spec: processes.Spec{Limits: limits.Limits{RuntimeMax: 50 * time.Millisecond}}})
	if e := w.end(); e.reason != api.ReasonDeadline || e.cancel <= 0 || len(w.seen.reported) != 0 {
		t.Errorf("counted as %+v, reported %d times", e, len(w.seen.reported))
	}
}
