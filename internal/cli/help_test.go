//go:build linux

package cli

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/buildwatch/buildwatch/api"
)

// TestHelpFitsAPage of 80 columns, and examples do too.
func TestHelpFitsAPage(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nobody-is-asked")
	for _, verb := range []string{"", "check", "completion", "config", "doctor", "help", "history", "prune", "list", "run", "show", "stop", "top", "version", "wait", "watch"} {
		args := append(strings.Fields(verb), "--help")
		r := run(t, socket, args...)
		if r.code != 0 || !strings.Contains(r.out, "Usage:") {
			t.Errorf("%q: %+v", args, r)
		}
		if words := regexp.MustCompile("(?i)autocompletion|sub-command|help for |for more information").FindString(r.out); words != "" {
			t.Errorf("%q: the library says %q", args, words)
		}
		for line := range strings.Lines(strings.ReplaceAll(r.out, socket, api.ControlSocket)) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columnsOfPage {
				t.Errorf("%q: %d columns: %s", args, n, line)
			}
		}
	}
}

func TestReflowLeavesListsAlone(t *testing.T) {
	if got, want := reflow("aa bb\ncc dd\n\n  list   of\n  words\nee", 8), "aa bb cc\ndd\n\n  list   of\n  words\nee\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := wrap("aaaa bbbb", 3, 0), "aaaa bbbb"; got != want {
		t.Errorf("in a pipe it is %q", got)
	}
	if got := wrap(strings.Repeat("word ", 20), 11, 80); strings.Count(got, "\n"+strings.Repeat(" ", 11)) != 1 {
		t.Errorf("on a terminal it is %q", got)
	}
}

// TestRemedyCanBeTyped for a build that does not go on by itself.
func TestRemedyCanBeTyped(t *testing.T) {
	stuck := func(waits ...api.Wait) api.BuildDetail {
		d := twoBuilds()[1]
		d.ProcessTree = []api.Process{{PID: 1, Survivor: true, Waits: waits}, {PID: 2, Survivor: true, Waits: waits}}
		return d
	}
	stalled := twoBuilds()[0]
	stalled.State = api.StateStalled
	for _, test := range []struct {
		of   api.BuildDetail
		want string
	}{
		{twoBuilds()[0], ""},
		{stalled, "buildwatchctl stop bcdf2345"},
		{stuck(), ""},
		{stuck(api.Wait{Mount: "/m", FSType: "fuse", Connection: 7}), "as root, which ends /m for all who use it: echo 1 > /sys/fs/fuse/connections/7/abort"},
		{stuck(api.Wait{Mount: "/m", FSType: "fuse", Connection: 7, Abort: api.AbortDone}), ""},
		{stuck(api.Wait{Mount: "/a b; rm -rf $HOME'", FSType: "nfs4"}), `as root, which ends '/a b; rm -rf $HOME'\''' for all who use it: umount --force '/a b; rm -rf $HOME'\'''`},
		{stuck(api.Wait{Mount: "/a\n'", FSType: "nfs"}), `as root, which ends $'/a\n\'' for all who use it: umount --force $'/a\n\''`},
	} {
		if got := strings.Join(remedies(test.of), "\n"); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// TestMachineOfTheEnvironment is asked without a flag, but not where another daemon is named.
func TestMachineOfTheEnvironment(t *testing.T) {
	socket, _ := start(t)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"list"}, `$BUILDWATCH_MACHINE "a/b": a machine's name`},
		{[]string{"list", "--socket", socket}, "no builds are running"},
	} {
		var out, err strings.Builder
		Main(test.args, Environment{Out: &out, Err: &err, Now: nowIs, Getenv: only(machineVariable, "a/b")})
		if !strings.Contains(err.String(), test.want) {
			t.Errorf("%q: %s", test.args, err.String())
		}
	}
}
