//go:build linux

package runner

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestStatusIsAsAShellHasIt(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 255": 255, "kill -TERM $$": 143, "kill -KILL $$": 137} {
		cmd := exec.Command("/bin/sh", "-c", script)
		_ = cmd.Run()
		if got := status(cmd.ProcessState); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
}

func TestCommandIsFoundAsAShellWould(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Chdir(dir)
	for name, mode := range map[string]os.FileMode{"runs": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int{
		"runs": 0, "./runs": 0, filepath.Join(dir, "runs"): 0,
		"./text": ExitCannotInvoke, dir: ExitCannotInvoke,
		"none": ExitNotFound, "./none": ExitNotFound, "": ExitNotFound,
	} {
		path, err := find(name)
		var failed exitError
		if errors.As(err, &failed) {
			if failed.code != want {
				t.Errorf("%q: %d (%v), want %d", name, failed.code, err, want)
			}
		} else if want != 0 || err != nil || path == "" {
			t.Errorf("%q: %q, %v; want %d", name, path, err, want)
		}
	}
}

// TestChildWithoutAParentRunsNothing: it is started by hand, or who waits for it is
// gone.
func TestChildWithoutAParentRunsNothing(t *testing.T) {
	for _, args := range [][]string{nil, {"x", "/bin/true", "true"}, {"-1", "/bin/true", "true"}, {"987654", "/bin/true", "true"}} {
		if code := Child(args, nil); code != ExitOwn {
			t.Errorf("%q: %d", args, code)
		}
	}
}
