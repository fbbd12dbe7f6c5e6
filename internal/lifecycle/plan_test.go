package lifecycle

import (
	"slices"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// TestPlan is what a stop leads through, by what the build is.
func TestPlan(t *testing.T) {
	for _, row := range []struct {
		name string
		from Status
		idle bool // no step runs
		want []string
	}{
		{"between two steps", running, true, []string{"refuse always"}},
		{"a run between two steps", with(running, isInside), true, []string{
			"let_start always", "containers always", "tidy always", "term owner_lives", "kill_owner owner_lives", "kill processes_left",
			"stop, empty always", "stop processes_left", "cgroup_kill processes_left", "free processes_left",
		}},
		{"a local build", running, false, []string{
			"let_start always", "kill always", "tidy always", "term owner_lives", "kill_owner owner_lives", "stop, empty always",
			"stop processes_left", "cgroup_kill processes_left", "free processes_left",
		}},
		{"an API build", with(running, isSpared), false, []string{
			"let_start always", "kill always", "tidy always", "stop, empty always", "stop processes_left", "cgroup_kill processes_left", "free processes_left",
		}},
		{"a run", with(running, isInside), false, []string{
			"let_start always", "containers always", "tidy always", "term owner_lives", "kill_owner owner_lives", "kill processes_left",
			"stop, empty always", "stop processes_left", "cgroup_kill processes_left", "free processes_left",
		}},
		{"orphans", orphans, false, []string{"kill always", "stop, empty always", "stop processes_left", "cgroup_kill processes_left", "free processes_left"}},
		{"what is only reported", reported, false, []string{"kill always", "stop, empty always", "stop processes_left", "cgroup_kill processes_left", "free processes_left"}},
		{"what is being ended", at(with(stopped, isEmpty), api.StateTerminating, StageTidy), false, []string{
			"tidy always", "term owner_lives", "kill_owner owner_lives", "stop, empty always",
		}},
		{"what is stuck", stuck, false, nil},
	} {
		var got []string
		for _, p := range Plan(row.from, !row.idle) {
			stage := string(p.Stage)
			if p.Status.Empty && p.Stage == StageStop {
				stage += ", empty"
			}
			got = append(got, stage+" "+string(p.When))
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s:\n%q, want\n%q", row.name, got, row.want)
		}
	}
}
