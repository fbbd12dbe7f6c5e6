package daemon

import (
	"os"
	"path/filepath"
	"testing"
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
