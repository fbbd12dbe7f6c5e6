//go:build linux

package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

func TestDryRunShowsThePlanAndStopsNothing(t *testing.T) {
	socket, builds := start(t, twoBuilds()...)
	run(t, socket, "stop", "--dry-run", "bcdf").expect(t, 0, `Build bcdf2345 (running, 4711 podman build of alice): nothing is sent. A stop would do this:
  1. kill: all in the scope is killed (SIGKILL KillUnit buildwatch-bcdf2345.scope, 1s at most)
       10 sh
       11 make
  2. owner: the owner may tidy up (3s at most)
       4711 podman
And if processes are left:
  3. cgroup_kill: the kernel kills what is left (SIGKILL cgroup.kill /user.slice/buildwatch-bcdf2345.scope, 1s at most)
`, "")
	if r := run(t, socket, "stop", "--dry-run", "--time", "60", "bcdf"); !strings.Contains(r.out, "tidy up (1m0s at most)") {
		t.Errorf("with another time: %+v", r)
	}
	for args, want := range map[string][]string{
		"stop --dry-run --json bcdf":                    {"bcdf2345"},
		"stop --dry-run --json bcdf bcdz bcdf":          {"bcdf2345", "bcdz2345"},
		"stop --dry-run --json --all":                   {"bcdz2345", "bcdf2345"},
		"stop --dry-run --json --filter state=running":  {"bcdf2345"},
		"stop --dry-run --json --filter state=killing":  {},
		"stop --dry-run --json --ignore nosuchid bcdf2": {"bcdf2345"},
	} {
		r := run(t, socket, strings.Fields(args)...)
		var plans []api.Plan
		if err := json.Unmarshal([]byte(r.out), &plans); err != nil || r.code != 0 || len(plans) != len(want) {
			t.Errorf("%s: %+v, %v", args, r, err)
			continue
		}
		for i, p := range plans {
			if p.Build.ID != want[i] || len(p.Actions) != 3 || p.Actions[0].Processes[1].PID != 11 {
				t.Errorf("%s: plan %d is %+v", args, i, p)
			}
		}
	}
	if r := run(t, socket, "stop", "--dry-run", "nosuchid"); r.code != exitFailure || !strings.Contains(r.err, "no build with ID") {
		t.Errorf("of none: %+v", r)
	}
	if r := run(t, socket, "stop", "--json", "bcdf"); r.code != exitUsage {
		t.Errorf("--json without --dry-run: %+v", r)
	}
	if stops := builds.Stops(); len(stops) != 0 {
		t.Errorf("stopped: %v", stops)
	}
}
