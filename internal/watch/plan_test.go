package watch

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// called is what enter calls on a fakeScope, or does to the owner, for a planned step.
func called(step api.PlanAction) string {
	switch step.Means {
	case api.MeansKillUnit:
		return "kill"
	case api.MeansStopUnit:
		return "stop"
	case api.MeansCgroupKill:
		return "cgroup_kill"
	case api.MeansPidfd:
		return step.Signal
	}
	return ""
}

// TestPlanAndLadderAgree: what is really done is what the plan said, rung by rung, in
// order and with the same times; without the steps whose condition was not met.
func TestPlanAndLadderAgree(t *testing.T) {
	for _, row := range []struct {
		name    string
		obeys   bool // containers end by KillUnit
		owner   string
		skipped []api.PlanCondition
	}{
		{"all is well", true, "", []api.PlanCondition{api.PlanOwnerLives, api.PlanProcessesLeft}},
		{"an owner that ignores SIGTERM", true, "trap '' TERM", []api.PlanCondition{api.PlanProcessesLeft}},
		{"processes that nothing but an abort ends", false, "trap '' TERM", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newBench(t, Timeouts{soon, 2 * soon, 3 * soon, 4 * soon, 5 * soon, 6 * soon, soon})
			if row.owner == "" {
				w.timeouts.Owner = never
			}
			w.script = func(s *fakeScope) {
				if !row.obeys {
					s.kill, s.stop = helpsNot, helpsNot
					s.cgroupKill = func() error { return nil }
					w.looks.free = s.clear
				}
				s.members = []scopes.Member{{PID: os.Getpid(), Cgroup: s.Cgroup() + "/payload/run-c"}}
			}
			c := startChild(t, row.owner)
			b, s := w.run(c.owner(t))
			p, err := w.Plan(context.Background(), b.id, api.StopRequest{})
			if err != nil {
				t.Fatal(err)
			}
			s.untouched(t)
			if b.current().State != api.StateRunning {
				t.Fatal("a plan has changed the build")
			}
			rungs := map[api.Rung]bool{}
			calls := map[string]bool{}
			for _, step := range p.Actions {
				if !slices.Contains(row.skipped, step.If) {
					rungs[step.Rung] = true
					calls[called(step)] = true
				}
				if step.Means == api.MeansWait && step.Signal != "" || step.Means != api.MeansWait && step.Signal == "" && len(step.Processes) > 0 {
					t.Errorf("a step that contradicts itself: %+v", step)
				}
				if step.Limit <= 0 {
					t.Errorf("without end: %+v", step)
				}
			}
			if row.owner == "" {
				go func() {
					proctest.Eventually(t, "the owner may tidy up", func() bool { return b.current().Stage == lifecycle.StageTidy })
					c.end()
				}()
			}
			if _, err := w.Stop(context.Background(), b.id, 0, api.StopRequest{}); err != nil {
				t.Fatal(err)
			}
			done := s.until(t, "close")
			if status := c.wait(); status.Signaled() {
				done = append(done, "SIG"+map[int]string{9: "KILL", 15: "TERM"}[int(status.Signal())])
			}
			for _, call := range done {
				if call != "close" && call != "discard" && !calls[call] {
					t.Errorf("%q was not planned: %v", call, calls)
				}
			}
			for call := range calls {
				// SIGTERM was sent too, and ignored.
				if call != "" && call != "SIGTERM" && !slices.Contains(done, call) {
					t.Errorf("%q was planned, done was %v", call, done)
				}
			}
			climbed := w.seen.rungs()
			for _, rung := range climbed {
				if !rungs[rung] {
					t.Errorf("rung %q was not planned", rung)
				}
			}
			for rung := range rungs {
				if rung != "" && !slices.Contains(climbed, rung) {
					t.Errorf("rung %q was planned, climbed were %v", rung, climbed)
				}
			}
			// Which times are whose.
			for _, step := range p.Actions {
				want := map[string]time.Duration{
					"kill": w.timeouts.Kill, "stop": w.timeouts.Stop, "cgroup_kill": w.timeouts.CgroupKill,
					"SIGTERM": w.timeouts.OwnerTerm, "SIGKILL": w.timeouts.OwnerTerm,
				}[called(step)]
				if step.Means == api.MeansWait {
					want = map[api.Rung]time.Duration{"": startTime(), api.RungOwner: w.timeouts.Owner}[step.Rung]
				}
				if step.Means == api.MeansFUSEAbort {
					want = w.timeouts.Survivors
				}
				if step.Limit != api.Seconds(want) {
					t.Errorf("%s has %v, want %v", step.Kind, step.Limit, want)
				}
			}
		})
	}
}

func TestPlanNamesProcessesAndMeans(t *testing.T) {
	w := newBench(t, longTimeouts)
	c := startChild(t, "")
	self := api.PlanProcess{PID: os.Getpid(), Command: "watch.test"}
	owner := api.PlanProcess{PID: c.Process.Pid, Command: "sh"}
	w.script = func(s *fakeScope) {
		s.members = []scopes.Member{{PID: self.PID, Cgroup: s.Cgroup() + "/payload/run-c"}}
	}
	b, s := w.run(c.owner(t))
	p, err := w.Plan(context.Background(), b.id, api.StopRequest{OwnerTimeout: new(api.Seconds(time.Minute))})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, step := range p.Actions {
		got = append(got, fmt.Sprint(step.Rung, " ", step.Means, " ", step.Signal, " ", step.On, " ", step.Processes))
	}
	want := []string{
		" wait   []",
		fmt.Sprint("kill kill_unit SIGKILL ", s.Unit(), " ", []api.PlanProcess{self}),
		fmt.Sprint("owner wait   ", []api.PlanProcess{owner}),
		fmt.Sprint("owner pidfd SIGTERM  ", []api.PlanProcess{owner}),
		fmt.Sprint("owner pidfd SIGKILL  ", []api.PlanProcess{owner}),
		fmt.Sprint("stop stop_unit  ", s.Unit(), " []"),
		fmt.Sprint("stop stop_unit SIGKILL ", s.Unit(), " ", []api.PlanProcess{self}),
		fmt.Sprint("cgroup_kill cgroup_kill SIGKILL ", s.Cgroup(), " ", []api.PlanProcess{self}),
		"survivors fuse_abort   []",
	}
	if !slices.Equal(got, want) || p.Actions[2].Limit != api.Seconds(time.Minute) || p.Build.ID != b.id {
		t.Errorf("planned for %s\n%q, want\n%q", p.Build.ID, got, want)
	}
	if _, err := w.Plan(context.Background(), "nosuchid", api.StopRequest{}); err == nil {
		t.Error("a plan for no build")
	}
	s.set(func() { s.members = nil })
	s.clear()
	c.end()
	w.end()
}

// startTime is how long containers that are being made are awaited.
func startTime() time.Duration {
	rung, _ := lifecycle.StageLetStart.Rung()
	return rung.Limit(lifecycle.Timeouts{})
}
