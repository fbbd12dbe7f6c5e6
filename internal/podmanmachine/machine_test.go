//go:build unix

package podmanmachine

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/podmanmachine/podmanmachinetest"
)

// tell prints what the program in the machine was given.
const tell = `printf 'args:'; printf ' <%s>' "$@"; echo; cat; echo oops >&2; exit "${EXIT:-0}"` + "\n"

// here is the stand-in.
func here() Podman { return Find("linux", func(string) string { return "" }) }

// run runs the program "tell" in a machine.
func run(t *testing.T, machine, stdin string, args ...string) (code int, out, errs string, err error) {
	t.Helper()
	m, err := here().Machine(machine)
	if err != nil {
		t.Fatal(err)
	}
	var o, e strings.Builder
	code, err = m.Run(context.Background(), Stdio{In: strings.NewReader(stdin), Out: &o, Err: &e}, "tell", args...)
	return code, o.String(), e.String(), err
}

func TestACommandInAMachineIsLikeOneHere(t *testing.T) {
	podmanmachinetest.Install(t, "tell", tell)
	code, out, errs, err := run(t, "vm", "input\n", "list", "--format", "{{.ID}} $HOME", "it's\n", "")
	if code != 0 || err != nil || out != "args: <list> <--format> <{{.ID}} $HOME> <it's\n> <>\ninput\n" || errs != "oops\n" {
		t.Errorf("%d, %v\n%s\n%s", code, err, out, errs)
	}
	// Those that podman and ssh have for failures of their own are the program's
	// too, where the machine answers.
	for _, want := range []string{"0", "1", "3", "64", "125", "126", "127", "130", "255"} {
		t.Setenv("EXIT", want)
		if code, _, _, err := run(t, "vm", ""); err != nil || want != strconv.Itoa(code) {
			t.Errorf("exit code %s comes as %d, %v", want, code, err)
		}
	}
}

func TestAMachineThatCantBeAsked(t *testing.T) {
	podmanmachinetest.Install(t, "tell", tell)
	for machine, want := range map[string]string{
		"none":        `podman has no machine "none" to ask (none: VM does not exist): "podman machine list" shows those there are`,
		"stopped":     `the podman machine "stopped" is not running but stopped: "podman machine start stopped" starts it`,
		"unreachable": `the podman machine "unreachable" can't be asked, which says nothing of its builds: exit code 255 of podman machine ssh`,
	} {
		if _, out, _, err := run(t, machine, ""); err == nil || err.Error() != want || out != "" {
			t.Errorf("%v, want %s\n%s", err, want, out)
		}
	}
	podmanmachinetest.Install(t, "another", tell)
	_, _, errs, err := run(t, "vm", "")
	if want := `there is no tell in the podman machine "vm": "dist/podman-machine/install.sh vm" of buildwatch installs it`; err == nil || err.Error() != want || errs != "" {
		t.Errorf("%v, %q, want %s", err, errs, want)
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, _, err := run(t, "vm", ""); err == nil || err.Error() != "podman is not installed here, neither in the PATH nor where its installers put it" {
		t.Errorf("without podman: %v", err)
	}
}

func TestNamesOfMachines(t *testing.T) {
	for _, bad := range []string{"", "-x", "a b", "a/b", "a;b", "a\nb", "ä"} {
		if _, err := here().Machine(bad); err == nil {
			t.Errorf("%q is taken for a name", bad)
		}
	}
	podmanmachinetest.Install(t, "tell", tell)
	if names, err := here().Names(context.Background()); err != nil || !slices.Equal(names, []string{"vm", "stopped"}) {
		t.Errorf("%q, %v", names, err)
	}
}

// TestPodmanOfSomebodyWhoNeverSawAShell: a PATH without Homebrew and without podman's own
// installer, as a program that was clicked on has it.
func TestPodmanOfSomebodyWhoNeverSawAShell(t *testing.T) {
	brew := t.TempDir()
	if err := os.Mkdir(brew+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string {
		return map[string]string{"HOMEBREW_PREFIX": brew, "LOCALAPPDATA": `C:\Users\alice\AppData\Local`, "ProgramFiles": `C:\Program Files`}[name]
	}
	t.Setenv("PATH", t.TempDir())
	if err := os.WriteFile(brew+"/bin/podman", []byte("#!/bin/sh\necho mac\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if names, err := Find("darwin", getenv).Names(context.Background()); err != nil || !slices.Equal(names, []string{"mac"}) {
		t.Errorf("%q, %v", names, err)
	}
	if got := Find("linux", getenv); got.path != "" {
		t.Errorf("on Linux, where a package puts it into the PATH, %q was found", got.path)
	}
	for system, want := range map[string][]string{
		"darwin":  {brew + "/bin/podman", "/opt/podman/bin/podman", "/opt/homebrew/bin/podman", "/usr/local/bin/podman", "/opt/local/bin/podman"},
		"windows": {`C:\Users\alice\AppData\Local\Programs\Podman\podman.exe`, `C:\Program Files\Podman\podman.exe`, `C:\Program Files\RedHat\Podman\podman.exe`},
		"linux":   nil,
	} {
		if got := places(system, getenv); !slices.Equal(got, want) {
			t.Errorf("on %s: %q, want %q", system, got, want)
		}
	}
	if got := places("windows", func(string) string { return "" }); got != nil {
		t.Errorf("without variables: %q", got)
	}
}

func TestTheMachineThatPodmanItselfWouldTake(t *testing.T) {
	podmanmachinetest.Install(t, "tell", tell)
	t.Setenv("CONNECTIONS", `server true\nvm-root false\nwork-root true\nwork false\n`)
	for list, want := range map[string]string{
		`vm*\nstopped\n`:               "vm",
		`stopped\nvm*\n`:               "vm",
		`work\n`:                       "work", // rootful: podman marks nothing
		`vm\npodman-machine-default\n`: DefaultName,
		`work\nvm\n`:                   "work", // rootful, by the connection
		`podman-machine-default*\n`:    DefaultName,
		``:                             `podman has no machine here, and builds are in one: "podman machine init --now" makes it`,
		`a\nb\n`:                       "podman has the machines a, b, and none by default: name one by --machine=NAME",
	} {
		podmanmachinetest.Machines(t, list)
		m, err := here().Default(context.Background())
		got := m.name
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("of %q: %s, want %s", list, got, want)
		}
	}
}
