package wrapper

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// makeBundle returns a bundle directory with a configuration in it.
func makeBundle(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(config), 0o640); err != nil {
		t.Fatal(err)
	}
	return dir
}

// contents returns the files of a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(content)
	}
	return files
}

func TestReplaceRestoreCommit(t *testing.T) {
	dir := makeBundle(t, "old")
	b, err := openBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if string(b.config) != "old" {
		t.Fatalf("read %q", b.config)
	}
	if err := b.replace([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); got[configName] != "new" || got[oldName] != "old" || len(got) != 2 {
		t.Fatalf("after replace: %v", got)
	}
	if info, _ := os.Stat(filepath.Join(dir, configName)); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, want the old file's", info.Mode())
	}
	if err := b.restore(); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); got[configName] != "old" || len(got) != 1 {
		t.Fatalf("after restore: %v", got)
	}
	if err := b.replace([]byte("new")); err != nil {
		t.Fatal(err)
	}
	b.commit()
	if got := contents(t, dir); got[configName] != "new" || len(got) != 1 {
		t.Fatalf("after commit: %v", got)
	}
}

func TestReplaceLeavesNothingWhenItFails(t *testing.T) {
	dir := makeBundle(t, "old")
	b, err := openBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if err := os.Mkdir(filepath.Join(dir, oldName), 0o755); err != nil { // in the way
		t.Fatal(err)
	}
	if err := b.replace([]byte("new")); err == nil {
		t.Fatal("replace succeeded")
	}
	if err := os.Remove(filepath.Join(dir, oldName)); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, dir); got[configName] != "old" || len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

// TestOpenBundleRefuses: what an attacker could lead root's wrapper to (threats,
// attacks 15 and 16).
func TestOpenBundleRefuses(t *testing.T) {
	for name, prepare := range map[string]func(dir string) string{
		"no directory": func(dir string) string { return filepath.Join(dir, "none") },
		"a link to a directory": func(dir string) string {
			link := filepath.Join(filepath.Dir(dir), "link")
			must(os.Symlink(dir, link))
			return link
		},
		"no configuration": func(dir string) string {
			must(os.Remove(filepath.Join(dir, configName)))
			return dir
		},
		"a symbolic link": func(dir string) string {
			path := filepath.Join(dir, configName)
			must(os.Rename(path, path+".x"))
			must(os.Symlink(path+".x", path))
			return dir
		},
		"a hard link": func(dir string) string {
			path := filepath.Join(dir, configName)
			must(os.Link(path, path+".x"))
			return dir
		},
		"a FIFO": func(dir string) string {
			path := filepath.Join(dir, configName)
			must(os.Remove(path))
			must(unix.Mkfifo(path, 0o600))
			return dir
		},
		"50 MB": func(dir string) string {
			must(os.Truncate(filepath.Join(dir, configName), 50<<20))
			return dir
		},
	} {
		dir := prepare(makeBundle(t, "{}"))
		if b, err := openBundle(dir); err == nil {
			b.close()
			t.Errorf("%s: was opened", name)
		}
	}
}

func TestOpenBundleRefusesAnothersFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("as root this looks at a bundle of UID 12345; here, at one of root's")
		if b, err := openBundle("/"); err == nil {
			b.close()
			t.Error("root's directory was opened")
		}
		return
	}
	dir := makeBundle(t, "{}")
	must(os.Chown(filepath.Join(dir, configName), 12345, 12345))
	if b, err := openBundle(dir); err == nil {
		b.close()
		t.Error("another user's configuration was opened")
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
