//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/podmanmachine/podmanmachinetest"
)

// echo is a buildwatchctl in a machine that prints what it was asked.
const echo = `printf '<%s>' "$@"; echo; exit "${EXIT:-0}"` + "\n"

func TestMachineIsAskedWhatWasUnderstood(t *testing.T) {
	podmanmachinetest.Install(t, program, echo)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--machine", "list"}, "<list>"},
		{[]string{"--machine=vm", "list", "--json"}, "<list><--json=true>"},
		{[]string{"list", "-q", "--machine=vm", "-f", "user=a b", "-f", "state=stuck", "--sort", "cpu"}, "<list><--filter=user=a b><--filter=state=stuck><--quiet=true><--sort=cpu>"},
		{[]string{"--machine=vm", "--socket", "/run/x", "show", "$(id)", "it's"}, "<show><--socket=/run/x><--><$(id)><it's>"},
		{[]string{"list", "--machine=vm", "--format", "--machine"}, "<list><--format=--machine>"},
		{[]string{"stop", "--machine", "-t", "0", "--", "-x"}, "<stop><--time=0><--><-x>"},
		{[]string{"watch", "--json", "--machine=vm", "-f", "state=stuck", "bcdf"}, "<watch><--filter=state=stuck><--json=true><--><bcdf>"},
		{[]string{"check", "-q", "--machine=vm"}, "<check><--quiet=true>"},
		{[]string{"stop", "--dry-run", "--machine=vm", "bcdf"}, "<stop><--dry-run=true><--><bcdf>"},
		{[]string{"version", "--machine=vm"}, "<version>"},
		{[]string{"history", "--machine=vm", "-n", "3", "--since", "-2h", "--filter", "reason=stopped"}, "<history><--filter=reason=stopped><--lines=3><--since=-2h>"},
		{[]string{"--machine", "wait", "-t", "30s", "bcdf"}, "<wait><--timeout=30s><--><bcdf>"},
	} {
		run(t, "/nowhere", test.args...).expect(t, 0, test.want+"\n", "")
	}
	t.Setenv("EXIT", "1")
	run(t, "/nowhere", "--machine=vm", "list").expect(t, 1, "<list>\n", "")
}

// TestMachineWithoutANameIsPodmansDefault, as it is to install.sh, or that of the environment.
func TestMachineWithoutANameIsPodmansDefault(t *testing.T) {
	podmanmachinetest.Install(t, program, echo)
	podmanmachinetest.Machines(t, `vm\nstopped*\n`)
	run(t, "/nowhere", "--machine", "list").expect(t, exitUsage, "",
		"buildwatchctl: the podman machine \"stopped\" is not running but stopped: \"podman machine start stopped\" starts it\n")
	for variable, args := range map[string]string{"vm": "--machine list", "stopped": "--machine=vm list", "gone": "list --machine=vm"} {
		var out, errs bytes.Buffer
		code := Main(strings.Fields(args), Environment{Out: &out, Err: &errs, Now: nowIs, Getenv: only(machineVariable, variable)})
		if code != 0 || out.String() != "<list>\n" {
			t.Errorf("%s, with %q in the environment: %d\n%s%s", args, variable, code, out.String(), errs.String())
		}
	}
}

// TestMachineIsKeptApartFromTheBuild: what podman machine fails in is one line
// and 125, and never looks like an answer about builds.
func TestMachineIsKeptApartFromTheBuild(t *testing.T) {
	podmanmachinetest.Install(t, program, echo)
	run(t, "/nowhere", "--machine=stopped", "stop", "-a").expect(t, exitUsage, "",
		"buildwatchctl: the podman machine \"stopped\" is not running but stopped: \"podman machine start stopped\" starts it\n")
	for args, want := range map[string]string{
		"--machine=a/b list": `--machine "a/b": a machine's name has letters, digits and _.- only, and begins with a letter or digit: see "buildwatchctl list --help"`,
		"--machine vm list":  `unknown command "vm", a machine is named by --machine=NAME: see "buildwatchctl --help"`,
		"--machine list x":   `takes no arguments, got "x": see "buildwatchctl list --help"`,
	} {
		run(t, "/nowhere", strings.Fields(args)...).expect(t, exitUsage, "", "buildwatchctl: "+want+"\n")
	}
}

// TestEachLineOfAMachineComesAtOnce: watch is read while it goes on.
func TestEachLineOfAMachineComesAtOnce(t *testing.T) {
	goOn := filepath.Join(t.TempDir(), "go on")
	podmanmachinetest.Install(t, program, "echo first; until [ -e '"+goOn+"' ]; do sleep 0.02; done; echo second\n")
	read, write := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- Main([]string{"--machine=vm", "watch"}, Environment{Out: write, Err: io.Discard, Now: nowIs, Getenv: only("", "")})
		write.Close()
	}()
	lines := bufio.NewScanner(read)
	if !lines.Scan() || lines.Text() != "first" {
		t.Errorf("the first line is %q", lines.Text())
	}
	if err := os.WriteFile(goOn, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "second" || <-ended != 0 {
		t.Errorf("the second line is %q", lines.Text())
	}
}

func TestMachineGetsStandardInput(t *testing.T) {
	podmanmachinetest.Install(t, program, "cat")
	var out, err bytes.Buffer
	code := Main([]string{"--machine", "list"}, Environment{
		In: strings.NewReader("input"), Out: &out, Err: &err, Now: time.Now, Getenv: func(string) string { return "" },
	})
	if code != 0 || out.String() != "input" || err.String() != "" {
		t.Errorf("%d %q %q", code, out.String(), err.String())
	}
}

func TestCompletionAsksTheMachine(t *testing.T) {
	podmanmachinetest.Install(t, program, `[ "$*" = "list --json" ] && echo '[{"id":"bcdf2345","state":"running","owner":{"pid":4711,"command":"podman build"}}]'`)
	for _, test := range []struct{ args, want string }{
		{"--machine=vm stop ", "bcdf2345\trunning, 4711 podman build\n:4\n"},
		{"--machine=stopped stop ", ":4\n"},
		{"list --machine=", "vm\nstopped\n:4\n"},
	} {
		if got := run(t, "/nowhere", append([]string{"__complete"}, strings.Split(test.args, " ")...)...); got.out != test.want {
			t.Errorf("%q: %+v, want %q", test.args, got, test.want)
		}
	}
}

// TestOnAMacTheMachineNeedsNoFlag: what the user types first is "buildwatchctl list".
func TestOnAMacTheMachineNeedsNoFlag(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	for _, test := range []struct {
		machines, variable, args string
		code                     int
		out, err                 string
	}{
		{`vm*\nstopped\n`, "", "list --json", 0, "<list><--json=true>\n", ""},
		{`vm\nstopped*\n`, "", "list --machine=vm", 0, "<list>\n", ""},
		{`vm\nstopped*\n`, "", "check", exitUsage, "", `the podman machine "stopped" is not running but stopped: "podman machine start stopped" starts it`},
		{`vm\nstopped*\n`, "vm", "version", 0, "<version>\n", ""},
		{`gone*\n`, "", "list", exitUsage, "", `podman has no machine "gone" to ask (gone: VM does not exist): "podman machine list" shows those there are`},
		{"", "", "wait bcdf", exitUsage, "", `podman has no machine here, and builds are in one: "podman machine init --now" makes it`},
		{`a\nb\n`, "", "list", exitUsage, "", `podman has the machines a, b, and none by default: name one by --machine=NAME`},
		{"vm*\n", "", "--socket " + socket + " list -q", 0, "bcdz2345\nbcdf2345\n", ""},
		{"vm*\n", "", "list --nonsense", exitUsage, "", `there is no flag --nonsense: see "buildwatchctl list --help"`},
	} {
		for _, system := range []string{"darwin", "windows"} {
			podmanmachinetest.Install(t, program, echo)
			podmanmachinetest.Machines(t, test.machines)
			var out, errs bytes.Buffer
			code := Main(strings.Fields(test.args), Environment{Out: &out, Err: &errs, Now: nowIs, OS: system, Getenv: only(machineVariable, test.variable)})
			if test.err != "" {
				test.err = "buildwatchctl: " + strings.TrimPrefix(test.err, "buildwatchctl: ")
			}
			if code != test.code || out.String() != test.out || strings.TrimSuffix(errs.String(), "\n") != test.err {
				t.Errorf("%s, machines %q: %s: %d\n%s%s", system, test.machines, test.args, code, out.String(), errs.String())
			}
		}
	}
	t.Setenv("PATH", t.TempDir())
	var out, errs bytes.Buffer
	code := Main([]string{"list"}, Environment{Out: &out, Err: &errs, Now: nowIs, OS: "darwin", Getenv: only("", "")})
	if want := "buildwatchctl: podman is not installed here, neither in the PATH nor where its installers put it\n"; code != exitUsage || out.String() != "" || errs.String() != want {
		t.Errorf("without podman: %d\n%s%s", code, out.String(), errs.String())
	}
}
