//go:build linux

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/control/controltest"
)

// stuck is a stop that ends with the build being stuck.
func stuck(b api.Build) func(context.Context, string, uint32, api.StopRequest) (api.Build, error) {
	return func(context.Context, string, uint32, api.StopRequest) (api.Build, error) {
		b.State = api.StateStuck
		return b, nil
	}
}

func TestStopSaysWhatIsDone(t *testing.T) {
	socket, builds := start(t, twoBuilds()...)
	run(t, socket, "stop", "bcdz", "bcdf", "bcdz").expect(t, 0, "bcdz2345\nbcdf2345\n", "")
	if len(builds.Heads()) != 0 || len(builds.Stops()) != 2 {
		t.Errorf("left %v after %v", builds.Heads(), builds.Stops())
	}
}

func TestStopTriesAllIDs(t *testing.T) {
	socket, builds := start(t, twoBuilds()...)
	run(t, socket, "stop", "x", "bcdf", "bcd2").expect(t, 1, "bcdf2345\n", `buildwatchctl: no build with ID "x": "buildwatchctl list --all" shows those there are, and those there were
buildwatchctl: no build with ID "bcd2": "buildwatchctl list --all" shows those there are, and those there were
`)
	run(t, socket, "stop", "--ignore", "x", "bcdz").expect(t, 0, "bcdz2345\n", "")
	if len(builds.Heads()) != 0 {
		t.Errorf("left: %v", builds.Heads())
	}
}

func TestStopOfAnAmbiguousIDStopsNothing(t *testing.T) {
	socket, builds := start(t, twoBuilds()...)
	run(t, socket, "stop", "-i", "bcd").expect(t, 1, "", "buildwatchctl: ID \"bcd\" fits several builds: bcdz2345, bcdf2345: give more of it\n")
	run(t, socket, "stop", "").expect(t, 1, "", "buildwatchctl: the ID is empty\n")
	if len(builds.Stops()) != 0 {
		t.Errorf("stopped: %v", builds.Stops())
	}
}

func TestStopByFilterAndAll(t *testing.T) {
	for _, test := range []struct{ args, out, err string }{
		{"--all", "bcdz2345\nbcdf2345\n", ""},
		{"-a -f state=running", "bcdf2345\n", ""},
		{"--filter user=alice --filter user=1001", "bcdz2345\nbcdf2345\n", ""},
		{"--filter user=bob", "", "no builds fit the filter\n"},
	} {
		gone := twoBuilds()[0]
		gone.ID, gone.State = "gggg2222", api.StateGone
		socket, _ := start(t, append(twoBuilds(), gone)...)
		run(t, socket, append([]string{"stop"}, strings.Fields(test.args)...)...).expect(t, 0, test.out, test.err)
	}
	socket, _ := start(t)
	run(t, socket, "stop", "--all").expect(t, 0, "", "no builds are running\n")
}

func TestStopPassesTheTimeOn(t *testing.T) {
	for args, want := range map[string]string{
		"":            "", // as configured
		"-t 0":        "0s",
		"--time 3":    "3s",
		"--time=3600": "1h0m0s",
	} {
		socket, builds := start(t, twoBuilds()...)
		run(t, socket, append([]string{"stop", "bcdf"}, strings.Fields(args)...)...).expect(t, 0, "bcdf2345\n", "")
		if got := builds.Stops(); !slices.Equal(got, []controltest.Stop{{ID: "bcdf2345", OwnerTimeout: want}}) {
			t.Errorf("%q: got %v, want %s", args, got, want)
		}
	}
}

func TestStopOfABuildThatIsStuck(t *testing.T) {
	details := twoBuilds()
	socket, builds := start(t, details...)
	builds.OnStop = stuck(details[1].Build)
	run(t, socket, "stop", "bcdz").expect(t, 1, "",
		"buildwatchctl: build bcdz2345 is stuck, 30 cat (D in request_wait_answer) survived SIGKILL: \"buildwatchctl show bcdz2345\" shows all of it\n")

	many := details[1]
	many.ProcessTree = nil
	for pid := range 9 {
		many.ProcessTree = append(many.ProcessTree, api.Process{PID: pid + 1, Command: "cat", State: "D", Survivor: pid < 7})
	}
	socket, builds = start(t, many)
	builds.OnStop = stuck(many.Build)
	if r := run(t, socket, "stop", "-a"); r.code != 1 || !strings.Contains(r.err, "5 cat (D in -) and 2 more survived") {
		t.Errorf("%+v", r)
	}
}

func TestStopThatDidNotEndTheBuild(t *testing.T) {
	details := twoBuilds()
	socket, builds := start(t, details...)
	builds.OnStop = func(context.Context, string, uint32, api.StopRequest) (api.Build, error) {
		return details[0].Build, nil
	}
	run(t, socket, "stop", "bcdf").expect(t, 1, "", "buildwatchctl: build bcdf2345 is still running: \"buildwatchctl show bcdf2345\" shows it\n")
	builds.OnStop = func(context.Context, string, uint32, api.StopRequest) (api.Build, error) {
		return api.Build{}, fmt.Errorf("the bus is down")
	}
	run(t, socket, "stop", "bcdf").expect(t, 1, "", "buildwatchctl: buildwatchd failed to answer: \"journalctl -u buildwatchd\" says why\n")
}

func TestStopManyAtOnce(t *testing.T) {
	var (
		details []api.BuildDetail
		want    strings.Builder
	)
	for i := range 50 {
		b := twoBuilds()[0]
		b.ID = fmt.Sprintf("bcdf%04d", i)
		details = append(details, b)
		fmt.Fprintln(&want, b.ID)
	}
	socket, _ := start(t, details...)
	run(t, socket, "stop", "-a").expect(t, 0, want.String(), "")
}
