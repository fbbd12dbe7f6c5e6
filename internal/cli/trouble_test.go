//go:build linux

package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// inColour is run on a terminal.
func inColour(t *testing.T, socket string, args ...string) string {
	t.Helper()
	var out, complaints bytes.Buffer
	code := Main(args, Environment{Out: &out, Err: &complaints, Now: nowIs, Colour: true, Getenv: only(socketVariable, socket)})
	if code != 0 {
		t.Errorf("%q: exit code %d, %s", args, code, complaints.String())
	}
	return out.String()
}

// TestTroubleStandsOut on a terminal, and changes nothing of what programs read.
func TestTroubleStandsOut(t *testing.T) {
	builds := twoBuilds()
	stalled, reported := twoBuilds()[0], twoBuilds()[0]
	stalled.ID, stalled.State = "bcdg2345", api.StateStalled
	reported.ID, reported.State, reported.Reported = "bcdh2345", api.StateAbandoned, true
	ending := twoBuilds()[0]
	ending.ID, ending.State = "bcdj2345", api.StateAbandoned
	socket, _ := start(t, append(builds, stalled, reported, ending)...)
	plainly := run(t, socket, "list")
	coloured := inColour(t, socket, "list")
	if bare := strings.NewReplacer(alarm, "", plain, "").Replace(coloured); bare != plainly.out {
		t.Errorf("without its colour it is\n%s\nin a pipe\n%s", bare, plainly.out)
	}
	for line := range strings.Lines(coloured) {
		id, _, _ := strings.Cut(strings.TrimPrefix(line, alarm), " ")
		marked := strings.HasPrefix(line, alarm) && strings.HasSuffix(line, plain+"\n")
		if want := id == "bcdz2345" || id == "bcdg2345" || id == "bcdh2345"; marked != want {
			t.Errorf("marked %v: %q", marked, line)
		}
	}
	if want := oneStuck +
		"buildwatchctl: 1 build is stalled: \"buildwatchctl show bcdg2345\" says why\n" +
		"buildwatchctl: 1 build is abandoned and only reported: \"buildwatchctl show bcdh2345\" says why\n"; plainly.err != want {
		t.Errorf("stderr is\n%s\nwant\n%s", plainly.err, want)
	}
	for _, args := range [][]string{{"list", "--json"}, {"list", "-q"}, {"list", "--format", "{{.ID}} {{.State}}"}} {
		if r := run(t, socket, args...); inColour(t, socket, args...) != r.out || r.err != "" {
			t.Errorf("%q on a terminal is not %q, or stderr is not empty: %q", args, r.out, r.err)
		}
	}
	if got := inColour(t, socket, "list", "--noheading", "--filter", "state=stuck"); !strings.HasPrefix(got, alarm+"bcdz2345") {
		t.Errorf("without headings: %q", got)
	}
}

func TestColourCanBeSwitchedOff(t *testing.T) {
	for env, want := range map[string]bool{"": true, "NO_COLOR=1": false, "NO_COLOR=": true, "TERM=dumb": false, "TERM=xterm": true} {
		name, value, _ := strings.Cut(env, "=")
		if got := wantsColour(only(name, value)); got != want {
			t.Errorf("with %q: %v", env, got)
		}
	}
}
