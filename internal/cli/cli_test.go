//go:build linux

package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/control/controltest"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // what is printed is in the zone of who asks
	os.Exit(m.Run())
}

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func nowIs() time.Time { return now }

// only is an environment of one variable.
func only(variable, value string) func(string) string {
	return func(name string) string {
		if name == variable {
			return value
		}
		return ""
	}
}

// result is what one run of buildwatchctl did.
type result struct {
	code     int
	out, err string
}

func run(t *testing.T, socket string, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	code := Main(args, Environment{
		Out: &out, Err: &err, Version: "1.2.4",
		Now: nowIs, Getenv: only(socketVariable, socket), OS: "linux",
	})
	r := result{code, out.String(), err.String()}
	for line := range strings.Lines(r.err) {
		if !strings.HasPrefix(line, "buildwatchctl: ") && !strings.HasPrefix(line, "no builds ") && !slices.Contains(args, "__complete") {
			t.Errorf("%q: no line of its own: %q", args, line)
		}
	}
	return r
}

func (r result) expect(t *testing.T, code int, out, err string) {
	t.Helper()
	if r.code != code || r.out != out || r.err != err {
		t.Errorf("exit code %d, want %d\nstdout:\n%s\nwant:\n%s\nstderr:\n%s\nwant:\n%s", r.code, code, r.out, out, r.err, err)
	}
}

// twoBuilds are a build of alice's that runs, and one of a user without a name
// that is stuck.
func twoBuilds() []api.BuildDetail {
	return []api.BuildDetail{
		{
			Build: api.Build{
				BuildHead: api.BuildHead{
					ID: "bcdf2345", State: api.StateRunning, Mode: api.ModeLocal, Placement: api.PlacementScope,
					CreatedAt: now.Add(-72 * time.Second),
					Owner:     api.Owner{PID: 4711, Command: "podman build"},
					User:      api.User{UID: 1000, Name: "alice"},
					Scope:     "buildwatch-bcdf2345.scope",
				},
				Arch: []string{"aarch64", "riscv64"}, Processes: 5, CPUSeconds: 12.34,
				Cgroup: "/user.slice/buildwatch-bcdf2345.scope",
			},
			ProcessTree: []api.Process{
				{PID: 10, PPID: 9, Command: "sh", Exe: "/usr/bin/qemu-aarch64", Arch: "aarch64", State: "S", WChan: "do_wait"},
				{PID: 11, PPID: 10, Command: "make", Exe: "/usr/bin/qemu-aarch64", Arch: "aarch64", State: "S", WChan: "do_wait"},
				{PID: 12, PPID: 11, Command: "cc1", Exe: "/usr/bin/qemu-aarch64", Arch: "aarch64", State: "R"},
				{PID: 13, PPID: 10, Command: "sleep", State: "S", WChan: "hrtimer_nanosleep"},
				{PID: 20, PPID: 9, Command: "sh", State: "S", WChan: "do_wait"},
			},
		},
		{
			Build: api.Build{
				BuildHead: api.BuildHead{
					ID: "bcdz2345", State: api.StateStuck, StateSince: now.Add(-time.Minute), Reason: api.ReasonOwnerExited, Mode: api.ModeAPI, Placement: api.PlacementScope,
					CreatedAt: now.Add(-5*time.Hour - 30*time.Minute),
					Owner:     api.Owner{PID: 815, Command: "podman system service --with-a-long-name", Exited: true},
					User:      api.User{UID: 1001},
					Scope:     "buildwatch-bcdz2345.scope",
				},
				Processes: 1, CPUSeconds: 4000, Cgroup: "/user.slice/buildwatch-bcdz2345.scope",
			},
			ProcessTree: []api.Process{
				{PID: 30, PPID: 1, Command: "cat", State: "D", WChan: "request_wait_answer", Survivor: true},
			},
			Ladder: []api.UsedRung{
				{Rung: api.RungKill, StartedAt: now.Add(-10 * time.Second), Duration: api.Seconds(2 * time.Second), TimedOut: true, Survivors: 3},
				{Rung: api.RungStop, StartedAt: now.Add(-8 * time.Second), Duration: api.Seconds(2340 * time.Microsecond), Error: "no such unit"},
			},
			Explanation: api.Explanation{
				Verdict: api.VerdictStuck, ChangesWhen: []api.Change{api.ChangeKernel},
				Facts: []api.Fact{
					{Name: api.FactOwner, Value: api.ValueEnded, PIDs: []int{815}, Since: now.Add(-11 * time.Second), Source: api.SourcePidfd, Decides: api.DecidesEnd},
					{Name: api.FactContainers, Value: api.ValueThere, Count: new(1), Source: api.SourceCgroup},
				},
			},
		},
	}
}

func start(t *testing.T, details ...api.BuildDetail) (socket string, builds *controltest.Builds) {
	t.Helper()
	builds = controltest.NewBuilds(details...)
	return controltest.Start(t, builds, 0), builds
}

func TestDaemonIsNotRunning(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "control.sock")
	want := "buildwatchctl: buildwatchd is not running (there is no " + socket + "): start it with \"systemctl start buildwatchd.socket buildwatchd.service\"\n"
	for _, args := range [][]string{{"list"}, {"list", "--json"}, {"show", "b"}, {"show", "b", "c", "--format", "{{.ID}}"}, {"stop", "b", "c"}, {"stop", "--all"}} {
		run(t, socket, args...).expect(t, 1, "", want)
	}
	if r := run(t, socket, "show", "b", "--json"); r.code != 1 || r.err != want {
		t.Errorf("show --json: %+v", r)
	}
	run(t, socket, "version").expect(t, 0, "buildwatchctl 1.2.4\nbuildwatchd   not running\n", "")
	if r := run(t, socket, "__complete", "stop", ""); r.out != ":4\n" {
		t.Errorf("completion offers %q", r.out)
	}
}

func TestUsageErrors(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "nobody-is-asked")
	for _, test := range []struct{ args, want string }{
		{"", `missing command: see "buildwatchctl --help"`},
		{"lst", `unknown command "lst", did you mean list: see "buildwatchctl --help"`},
		{"frobnicate", `unknown command "frobnicate": see "buildwatchctl --help"`},
		{"ls --json", `unknown command "ls", did you mean list: see "buildwatchctl --help"`},
		{"ps -q", `unknown command "ps", did you mean list: see "buildwatchctl --help"`},
		{"--frob", `there is no flag --frob: see "buildwatchctl --help"`},
		{"list --frob", `there is no flag --frob: see "buildwatchctl list --help"`},
		{"list --fiter id=x", `there is no flag --fiter, did you mean --filter: see "buildwatchctl list --help"`},
		{"list -Q", `there is no flag -Q: see "buildwatchctl list --help"`},
		{"list --filter", `--filter needs a key=value: see "buildwatchctl list --help"`},
		{"list -n", `--last needs a number: see "buildwatchctl list --help"`},
		{"list -n 0", `--last "0": not a number above 0: see "buildwatchctl list --help"`},
		{"list --quiet=x", `--quiet "x": takes no value but true or false: see "buildwatchctl list --help"`},
		{"list --filter unit=[", `--filter "unit=[": neither the name of a unit nor a pattern: see "buildwatchctl list --help"`},
		{"history -n 0", `--lines "0": not a number above 0: see "buildwatchctl history --help"`},
		{"help lst", `unknown command "lst", did you mean list: see "buildwatchctl help --help"`},
		{"help list x", `takes one command, got ["list" "x"]: see "buildwatchctl help --help"`},
		{"completion", `takes one of bash, fish, powershell, zsh: see "buildwatchctl completion --help"`},
		{"completion sh", `takes one of bash, fish, powershell, zsh: see "buildwatchctl completion --help"`},
		{"list x", `takes no arguments, got "x": see "buildwatchctl list --help"`},
		{"list --filter x", `--filter "x": not of the form key=value: see "buildwatchctl list --help"`},
		{"list --filter x=y", `--filter "x=y": the keys are id, name, unit, state, user, arch, reason, mode, scope, since, until: see "buildwatchctl list --help"`},
		{"list --filter state=asleep", `--filter "state=asleep": the values are running, stalled, unsure, abandoned, terminating, killing, stuck: see "buildwatchctl list --help"`},
		{"list --filter since=noon", `--filter "since=noon": neither a duration such as 10m nor a time such as 2026-01-02T15:04:05Z: see "buildwatchctl list --help"`},
		{"list --sort x", `--sort "x": the values are created, id, state, processes, cpu: see "buildwatchctl list --help"`},
		{"list --format {{.Nope}}", `--format: there is no placeholder .Nope: see "buildwatchctl list --help"`},
		{"list --format {{.ID", `--format: the template can't be read: unclosed action: see "buildwatchctl list --help"`},
		{"list --format table", `--format: the template is empty: see "buildwatchctl list --help"`},
		{"list --json --quiet", `takes only one of --json, --quiet: see "buildwatchctl list --help"`},
		{"show", `needs at least one ID: see "buildwatchctl show --help"`},
		{"show x --format {{range.ProcessTree}}{{.Nope}}{{end}}", `--format: there is no placeholder .Nope: see "buildwatchctl show --help"`},
		{"stop", `needs at least one ID, --all or --filter: see "buildwatchctl stop --help"`},
		{"stop x --all", `takes either IDs, or --all or --filter: see "buildwatchctl stop --help"`},
		{"stop x --time -1", `--time -1: not between 0 and 3600 seconds: see "buildwatchctl stop --help"`},
		{"stop x -t soon", `--time "soon": not a number that can be used: see "buildwatchctl stop --help"`},
		{"stop --filter x=y", `--filter "x=y": the keys are id, name, unit, state, user, arch, reason, mode, scope, since, until: see "buildwatchctl stop --help"`},
		{"list -l -n 3", `takes only one of --last, --latest: see "buildwatchctl list --help"`},
		{"stop --filter id=", `--filter "id=": there is no value: see "buildwatchctl stop --help"`},
		{"stop --filter name=", `--filter "name=": there is no value: see "buildwatchctl stop --help"`},
		{"wait --timeout=", `--timeout needs a time: see "buildwatchctl wait --help"`},
		{"run --timeout= true", `--timeout needs a time: see "buildwatchctl run --help"`},
		{"history --since=", `--since needs a time: see "buildwatchctl history --help"`},
		{"list --output=", `--output needs a format: see "buildwatchctl list --help"`},
		{"list --socket=", `--socket needs a path: see "buildwatchctl list --help"`},
		{"version x", `takes no arguments, got "x": see "buildwatchctl version --help"`},
	} {
		run(t, socket, strings.Fields(test.args)...).expect(t, exitUsage, "", "buildwatchctl: "+test.want+"\n")
	}
	run(t, socket, "").expect(t, exitUsage, "", "buildwatchctl: unknown command \"\": see \"buildwatchctl --help\"\n")
	// What was typed is shown, but does nothing to the terminal.
	run(t, socket, "list", "--\x1b[2J\n\u202e").expect(t, exitUsage, "", "buildwatchctl: there is no flag --\\x1b[2J\\n\\u202e: see \"buildwatchctl list --help\"\n")
}

func TestVersion(t *testing.T) {
	socket, _ := start(t)
	run(t, socket, "version").expect(t, 0, `buildwatchctl 1.2.4
buildwatchd   1.2.3, up 4m5s
kernel        6.1.0
systemd       252.39
used          pidfd_open, OOMPolicy of scopes
missing       SO_PEERPIDFD: who asks is looked up by its PID, and checked once more after each wait (SO_PEERPIDFD: protocol not available)
`, "")
	run(t, socket, "--version").expect(t, 0, "buildwatchctl 1.2.4\n", "")
}

func TestSocketFlagGoesBeforeTheEnvironment(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	run(t, "/nowhere", "--socket", socket, "list", "-q").expect(t, 0, "bcdz2345\nbcdf2345\n", "")
	run(t, "/nowhere", "list", "-q", "--socket", socket).expect(t, 0, "bcdz2345\nbcdf2345\n", "")
}

// fullDisk is an output that takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestOutputThatFails(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for _, args := range [][]string{
		{"list"}, {"list", "-q"}, {"list", "--json"}, {"list", "--format", "{{.ID}}"},
		{"show", "bcdf"}, {"show", "bcdf", "--json"}, {"show", "bcdf", "--format", "{{.ID}}"}, {"version"}, {"stop", "bcdf"},
		{"--help"}, {"help"}, {"list", "--help"}, {"--version"}, {"completion", "bash"},
	} {
		var err bytes.Buffer
		code := Main(append(args, "--socket", socket), Environment{
			Out: fullDisk{}, Err: &err, Now: time.Now, Version: "1.2.4", Getenv: func(string) string { return "" },
		})
		if code != 1 || err.String() != "buildwatchctl: file already closed\n" {
			t.Errorf("%q: %d %q", args, code, err.String())
		}
	}
}
