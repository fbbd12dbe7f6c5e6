package daemon

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/version"
)

// TestPodmanIsToldOfThePathThatPeopleKnow: Fedora CoreOS has /usr/local as a link into
// /var, and the kernel names a program by where it truly is.
func TestPodmanIsToldOfThePathThatPeopleKnow(t *testing.T) {
	root := t.TempDir()
	truly, known, other := filepath.Join(root, "var/usrlocal"), filepath.Join(root, "usr/local"), filepath.Join(root, "opt")
	for _, dir := range []string{truly + "/libexec/buildwatch", truly + "/bin", other + "/libexec/buildwatch", root + "/usr"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../var/usrlocal", known); err != nil {
		t.Fatal(err)
	}
	real := truly + "/libexec/buildwatch"
	for program, want := range map[string]string{
		known + "/bin/buildwatchd":     known + "/libexec/buildwatch",
		truly + "/bin/buildwatchd":     real,
		other + "/bin/buildwatchd":     real, // another installation's
		root + "/nowhere/buildwatchd":  real,
		"buildwatchd":                  real,
		"":                             real,
		"../usr/local/bin/buildwatchd": real,
	} {
		if got := asCalled(real, program); got != want {
			t.Errorf("called as %q: %s, want %s", program, got, want)
		}
	}
}

// TestCallsOfTheDaemon that are wrong are answered in plain words, and what can't be written is a failure.
func TestCallsOfTheDaemon(t *testing.T) {
	t.Setenv("MAINPID", "")
	for args, want := range map[string]struct {
		code     int
		out, err string
	}{
		"--help":                        {0, usage, ""},
		"-v":                            {0, "buildwatchd " + version.Version + "\n", ""},
		"--check-config --print-config": {1, "", `buildwatchd: ["--check-config" "--print-config"] is not one of its flags, of which it takes one: see "buildwatchd --help"` + "\n"},
		"serve":                         {1, "", `buildwatchd: ["serve"] is not one of its flags, of which it takes one: see "buildwatchd --help"` + "\n"},
		"--reload":                      {1, "", `buildwatchd: --reload is for the unit: "systemctl reload buildwatchd.service"` + "\n"},
	} {
		var out, err strings.Builder
		if code := Main(strings.Fields(args), &out, &err); code != want.code || out.String() != want.out || err.String() != want.err {
			t.Errorf("%s: %d %q %q", args, code, out.String(), err.String())
		}
	}
	for line := range strings.Lines(usage) {
		if len(line) > 81 {
			t.Errorf("wider than 80 columns: %s", line)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if code := Main([]string{"--help"}, full, io.Discard); code != 1 {
		t.Errorf("what was not written is no failure: %d", code)
	}
}
