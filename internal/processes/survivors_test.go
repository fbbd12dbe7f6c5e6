package processes

import (
	"context"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/survivors"
)

// inspection says what it is told to, and remembers by which call.
type inspection struct {
	report survivors.Report
	asked  []string
	left   survivors.Remains
}

func (i *inspection) Look(_ context.Context, left survivors.Remains) survivors.Report {
	i.asked, i.left = append(i.asked, "look"), left
	return i.report
}

func (i *inspection) Free(_ context.Context, left survivors.Remains) survivors.Report {
	i.asked, i.left = append(i.asked, "free"), left
	return i.report
}

// members is a scope of which only its processes are known.
type members struct {
	Scope
	pids []int
}

func (m members) Members() []scopes.Member {
	var all []scopes.Member
	for _, pid := range m.pids {
		all = append(all, scopes.Member{PID: pid, Cgroup: "/x"})
	}
	return all
}

// TestSurvivorIsOneSinceTheFirstLook that has found it, however often it is looked at.
func TestSurvivorIsOneSinceTheFirstLook(t *testing.T) {
	stuck := survivors.Process{State: "D"}
	i := &inspection{report: survivors.Report{Processes: map[int]survivors.Process{7: stuck}}}
	s, of := Survivors{i}, Set{Scope: members{pids: []int{7, 8}}}
	first, freed := s.Look(t.Context(), of, []int{5}, Remains{}, false)
	if first.Left != 2 || first.Known() != 1 || len(freed) != 0 || len(i.left.PIDs) != 2 || len(i.left.Builders) != 1 {
		t.Errorf("found %+v, asked about %+v", first, i.left)
	}
	var was api.Process
	was.PID = 7
	first.AddTo(&was)
	if was.Since.IsZero() || was.State != "D" {
		t.Errorf("it is %+v", was)
	}
	proctest.After(t, was.Since, time.Millisecond) // so that another time would be another
	i.report.Processes[8] = stuck
	again, _ := s.Look(t.Context(), of, nil, first, true)
	for pid, later := range map[int]bool{7: false, 8: true} {
		p := api.Process{PID: pid}
		again.AddTo(&p)
		if p.Since.After(was.Since) != later {
			t.Errorf("%d is a survivor since %v, the first since %v", pid, p.Since, was.Since)
		}
	}
	if len(i.asked) != 2 || i.asked[0] != "look" || i.asked[1] != "free" {
		t.Errorf("asked by %v", i.asked)
	}
	if none, _ := s.Look(t.Context(), Set{}, nil, again, true); none.Left != again.Left || len(i.asked) != 2 {
		t.Errorf("nothing is left, and it was looked at: %v", i.asked)
	}
}

// nested is a scope with two containers, one of which has made cgroups of its own.
type nested struct{ Scope }

func (nested) CgroupsPath(container string) string { return "/s.scope/payload/run-" + container }

func (nested) Members() []scopes.Member {
	return []scopes.Member{
		{PID: 9, Cgroup: "/s.scope/command"}, {PID: 8, Cgroup: "/s.scope/payload/leaf"},
		{PID: 7, Cgroup: "/s.scope/payload/run-a/container/below"}, {PID: 5, Cgroup: "/s.scope/payload/run-a/container"},
		{PID: 6, Cgroup: "/s.scope/payload/run-b"}, {PID: 4, Cgroup: ""},
	}
}

func TestFirstProcessOfEachContainer(t *testing.T) {
	found := Set{Scope: nested{}}.Containers()
	if len(found) != 2 || found["a"].PID != 5 || found["a"].Cgroup != "/s.scope/payload/run-a/container" || found["b"].PID != 6 {
		t.Errorf("found %v", found)
	}
	if none := (Set{}).Containers(); len(none) != 0 {
		t.Errorf("of no scope: %v", none)
	}
}
