package runtimes

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withTable replaces the table for one test.
func withTable(t *testing.T, replacement map[string][]string) {
	t.Helper()
	saved := table
	table = replacement
	t.Cleanup(func() { table = saved })
}

func writeExecutable(t *testing.T, path string) os.FileInfo {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestFindTakesTheFirstThatExists(t *testing.T) {
	dir := t.TempDir()
	second := filepath.Join(dir, "second")
	writeExecutable(t, second)
	withTable(t, map[string][]string{"crun": {filepath.Join(dir, "first"), second}})

	got, err := Find("/anywhere/libexec/buildwatch/crun", nil, nil, "")
	if err != nil || got != second {
		t.Fatalf("Find = %q, %v; want %q", got, err, second)
	}
}

func TestFindNeverReturnsTheWrapperItself(t *testing.T) {
	dir := t.TempDir()
	self := writeExecutable(t, filepath.Join(dir, "buildwatch-runtime"))
	link := filepath.Join(dir, "crun")
	if err := os.Symlink("buildwatch-runtime", link); err != nil {
		t.Fatal(err)
	}
	withTable(t, map[string][]string{"crun": {link}})

	if got, err := Find("crun", self, nil, ""); !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("Find = %q, %v; want ErrNotInstalled", got, err)
	}
}

func TestFindRefusesUnknownNames(t *testing.T) {
	for _, name := range []string{"", ".", "buildwatch-runtime", "/usr/bin/sh", "crun "} {
		if got, err := Find(name, nil, nil, ""); !errors.Is(err, ErrUnknown) {
			t.Errorf("Find(%q) = %q, %v; want ErrUnknown", name, got, err)
		}
	}
}

func TestFindSkipsWhatIsNoRegularFile(t *testing.T) {
	dir := t.TempDir()
	withTable(t, map[string][]string{"runc": {dir}})
	if got, err := Find("runc", nil, nil, ""); !errors.Is(err, ErrNotInstalled) {
		t.Fatalf("Find = %q, %v; want ErrNotInstalled", got, err)
	}
}

// TestRowWhoseProgramWasRemoved: podman goes on with what $PATH leads to, and so does the
// wrapper; never with itself, with what is no program, or from a relative directory.
func TestRowWhoseProgramWasRemoved(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	for _, dir := range []string{"libexec", "relative", "data", "bin", "later"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		writeExecutable(t, filepath.Join(root, dir, "crun"))
	}
	if err := os.Chmod("data/crun", 0o644); err != nil {
		t.Fatal(err)
	}
	self, err := os.Stat("libexec/crun")
	if err != nil {
		t.Fatal(err)
	}
	withTable(t, map[string][]string{"crun": {filepath.Join(root, "opt/crun")}})
	search := strings.Join([]string{root + "/libexec", "relative", "", root + "/none", root + "/data", root + "/bin", root + "/later"}, ":")
	if got, err := Find("crun", self, nil, search); err != nil || got != root+"/bin/crun" {
		t.Errorf("Find = %q, %v", got, err)
	}
	withTable(t, map[string][]string{"crun": {filepath.Join(root, "later/crun")}})
	if got, err := Find("crun", self, nil, search); err != nil || got != root+"/later/crun" {
		t.Errorf("where the row's program is there, Find = %q, %v", got, err)
	}
}
