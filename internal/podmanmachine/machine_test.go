//go:build unix

package podmanmachine

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/podmanmachine/podmanmachinetest"
)

// tell prints what the program in the machine was given.
const tell = `printf 'args:'; printf ' <%s>' "$@"; echo; cat; echo oops >&2; exit "${EXIT:-0}"` + "\n"

// run runs the program "tell" in a machine.
func run(t *testing.T, machine, stdin string, args ...string) (code int, out, errs string, err error) {
	t.Helper()
	m, err := New(machine)
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
	if _, _, _, err := run(t, "vm", ""); err == nil || !strings.Contains(err.Error(), `run podman: exec: "podman": executable file not found`) {
		t.Errorf("without podman: %v", err)
	}
}

func TestNamesOfMachines(t *testing.T) {
	for _, bad := range []string{"", "-x", "a b", "a/b", "a;b", "a\nb", "ä"} {
		if _, err := New(bad); err == nil {
			t.Errorf("%q is taken for a name", bad)
		}
	}
	podmanmachinetest.Install(t, "tell", tell)
	if names, err := Names(context.Background()); err != nil || !slices.Equal(names, []string{"vm", "stopped"}) {
		t.Errorf("%q, %v", names, err)
	}
}
