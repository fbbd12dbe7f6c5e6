package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// TestWhyAndUntilAreSentences: of a build that is kept, reported, refused and ended.
func TestWhyAndUntilAreSentences(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	ends := api.Fact{Name: api.FactPolicy, Value: api.ValueEnds}
	for _, row := range []struct {
		said       api.Explanation
		kept       bool
		why, until string
	}{
		{api.Explanation{Verdict: api.VerdictOwnerLives, ChangesWhen: []api.Change{api.ChangeOwnerEnds, api.ChangeStop, api.ChangeMaxRuntime},
			Facts: []api.Fact{{Name: api.FactMaxRuntime, Value: api.ValueAhead, At: at}, ends}}, true,
			"it is kept, because its owner lives",
			"its owner, or a process that waits for it, ends; or somebody runs buildwatchctl stop; or max_runtime is over, at " + timestamp(at) + ". What is left then is ended"},
		{api.Explanation{Verdict: api.VerdictBuilderLives, ChangesWhen: []api.Change{api.ChangeBuilderEnds}, Facts: []api.Fact{{Name: api.FactPolicy, Value: api.ValueReports}}}, true,
			"it is kept, because its builder lives, and nobody saw whether it is that build's or of a step that is over", "the builder ends. What is left then is only reported"},
		{api.Explanation{Verdict: api.VerdictOwnerUnknown, ChangesWhen: []api.Change{api.ChangeProcessesEnd, api.ChangeStop}, Facts: []api.Fact{ends}}, true,
			"it is kept, because nobody saw whom it belongs to", "its processes end by themselves; or somebody runs buildwatchctl stop"},
		{api.Explanation{Verdict: api.VerdictEnding, Doing: api.ActionTidy}, false, "it is being ended: the owner may tidy up", "nothing calls that back"},
		{api.Explanation{Verdict: api.VerdictRefused, Doing: api.ActionRefuseSteps, ChangesWhen: []api.Change{api.ChangeOwnerEnds}}, false,
			"it is to end: a RUN step of it was refused, and its owner gets no signal while none runs", "its owner, or a process that waits for it, ends. Nothing calls that back"},
		{api.Explanation{Verdict: "of\ttomorrow", ChangesWhen: []api.Change{"x\ny"}}, false, `"of\ttomorrow"`, `"x\ny"`},
	} {
		if got := why(row.said); got != row.why {
			t.Errorf("why: %q, want %q", got, row.why)
		}
		if got := until(row.said, row.kept); got != row.until {
			t.Errorf("until: %q, want %q", got, row.until)
		}
	}
}

// TestFactsAreSentences, whatever a user has called its files.
func TestFactsAreSentences(t *testing.T) {
	uid := uint32(1000)
	for want, f := range map[string]api.Fact{
		"PID 7 (podman build) lives":                                   {Name: api.FactOwner, Value: api.ValueLives, PIDs: []int{7}, Command: "podman build"},
		"PID 7 has ended":                                              {Name: api.FactOwner, Value: api.ValueEnded, PIDs: []int{7}},
		"PID 5, 6 wait for the owner":                                  {Name: api.FactWaiters, Value: api.ValueWaits, PIDs: []int{5, 6}},
		"a process that waited for the owner has ended before it":      {Name: api.FactWaiters, Value: api.ValueEnded},
		"nobody saw who started it":                                    {Name: api.FactOwner, Value: api.ValueUnseen},
		"it is served":                                                 {Name: api.FactRequest, Value: api.ValueServed},
		"whether it is over can't be told: its directory is not known": {Name: api.FactRequest, Value: api.ValueUnknown, Doubt: api.DoubtDirectory},
		"/a\nb is there":                                               {Name: api.FactDirectory, Value: api.ValueThere, Path: "/a\nb"},
		"/a is gone":                                                   {Name: api.FactDirectory, Value: api.ValueGone, Path: "/a"},
		"it is not known":                                              {Name: api.FactDirectory, Value: api.ValueUnknown},
		"1 of the 3 that may be its own are gone":                      {Name: api.FactDirectory, Value: api.ValueGone, Count: new(1), Of: 3},
		"0 of the 2 that may be its own are closed, and not all can be looked at": {Name: api.FactConnections, Value: api.ValueGone, Count: new(0), Of: 2, Partial: true},
		"none that may be its own is known":                                       {Name: api.FactConnections, Value: api.ValueUnknown},
		"1 process is there":                                                      {Name: api.FactContainers, Value: api.ValueThere, Count: new(1)},
		"2 processes are there":                                                   {Name: api.FactContainers, Value: api.ValueThere, Count: new(2)},
		"no process is there":                                                     {Name: api.FactContainers, Value: api.ValueNone},
		"whether processes are there can't be told: no such device":               {Name: api.FactContainers, Value: api.ValueUnknown, Error: "no such device"},
		"3 processes have outlived SIGKILL":                                       {Name: api.FactSurvivors, Value: api.ValueOutlived, Count: new(3)},
		"2 processes killed for want of memory: MemoryMax=64M of the build's scope was reached": {
			Name: api.FactMemory, Value: api.ValueShort, Shortage: &api.Shortage{Resource: api.ResourceMemory, Count: 2, Limit: "MemoryMax=64M"}},
		"asked for by UID 1000":              {Name: api.FactStop, Value: api.ValueAsked, UID: &uid},
		"abandoned builds are only reported": {Name: api.FactPolicy, Value: api.ValueReports},
		"MemoryMax=4G by the configuration; TasksMax=9 by its user; TasksMax of ci.slice hold for the scope too, by themselves: no budget is shared": {
			Name: api.FactLimits, Value: api.ValueSet, Limits: &api.Limits{Configuration: []string{"MemoryMax=4G"}, User: []string{"TasksMax=9"}, Unit: []string{"TasksMax"}, Units: []string{"ci.slice"}}},
	} {
		if got := describeFact(f); got != want {
			t.Errorf("%+v is %q, want %q", f, got, want)
		}
		if got := (factRow{f}).Value(); strings.Contains(got, "\n") {
			t.Errorf("a fact has two lines: %q", got)
		}
	}
	for _, value := range api.FactValues() {
		if got := describeFact(api.Fact{Value: value}); got == "" || strings.Contains(got, "`") {
			t.Errorf("%s is %q", value, got)
		}
	}
}
