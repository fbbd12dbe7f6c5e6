package runtimes

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// tree writes files below a directory, which stands for a host's root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// rowFor is a file with one row for crun.
func rowFor(paths ...string) string {
	return "[engine.runtimes]\ncrun = [\"" + strings.Join(paths, "\", \"") + "\"]\n"
}

// TestLastRowWins, but for the one of our own drop-in.
func TestLastRowWins(t *testing.T) {
	ours := rowFor("/usr/local/libexec/buildwatch/crun", "/usr/bin/crun")
	for name, test := range map[string]struct {
		files map[string]string
		uid   int
		want  []string
	}{
		"none":                          {map[string]string{"etc/containers/containers.conf.d/" + DropIn: ours}, 0, table["crun"]},
		"the distribution's":            {map[string]string{"usr/share/containers/containers.conf": rowFor("/usr/share")}, 0, []string{"/usr/share"}},
		"main files":                    {map[string]string{"usr/share/containers/containers.conf": rowFor("/usr/share"), "etc/containers/containers.conf": rowFor("/etc")}, 0, []string{"/etc"}},
		"a drop-in before ours":         {map[string]string{"etc/containers/containers.conf": rowFor("/etc"), "etc/containers/containers.conf.d/10-acme.conf": rowFor("/10"), "etc/containers/containers.conf.d/" + DropIn: ours}, 0, []string{"/10"}},
		"the wrapper first, and others": {map[string]string{"etc/containers/containers.conf.d/60-acme.conf": rowFor("/usr/local/libexec/buildwatch/crun", "/60"), "etc/containers/containers.conf.d/" + DropIn: ours}, 0, []string{"/usr/local/libexec/buildwatch/crun", "/60"}},
		"no .conf":                      {map[string]string{"etc/containers/containers.conf.d/90.bak": rowFor("/90")}, 0, table["crun"]},
		"by name over all directories":  {map[string]string{"usr/share/containers/containers.conf.d/20.conf": rowFor("/20"), "etc/containers/containers.conf.d/10.conf": rowFor("/10")}, 0, []string{"/20"}},
		"rootful":                       {map[string]string{"etc/containers/containers.rootful.conf.d/20.conf": rowFor("/20"), "etc/containers/containers.rootless.conf.d/30.conf": rowFor("/30")}, 0, []string{"/20"}},
		"rootless":                      {map[string]string{"etc/containers/containers.rootful.conf.d/20.conf": rowFor("/20"), "etc/containers/containers.rootless.conf.d/10.conf": rowFor("/10")}, 1000, []string{"/10"}},
		"one user's":                    {map[string]string{"etc/containers/containers.rootless.conf.d/1000/20.conf": rowFor("/20"), "etc/containers/containers.rootless.conf.d/1001/30.conf": rowFor("/30")}, 1000, []string{"/20"}},
		"the user's own main file":      {map[string]string{"etc/containers/containers.conf": rowFor("/etc"), "home/containers.conf": rowFor("/home"), "etc/containers/containers.conf.d/" + DropIn: ours}, 1000, []string{"/home"}},
		"the user's own drop-in":        {map[string]string{"etc/containers/containers.conf.d/10.conf": rowFor("/10"), "home/containers.conf.d/10.conf": rowFor("/home"), "etc/containers/containers.conf.d/" + DropIn: ours}, 1000, []string{"/home"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := tree(t, test.files)
			if got := row("crun", podman.ConfigFilesBelow(root, filepath.Join(root, "home"), test.uid, list)); !slices.Equal(got, test.want) {
				t.Errorf("row %q, want %q", got, test.want)
			}
		})
	}
}

// TestRuntimeOfTheAdministratorsRowIsTaken, and none other where it is missing: podman
// would not go on either.
func TestRuntimeOfTheAdministratorsRowIsTaken(t *testing.T) {
	root := tree(t, map[string]string{"opt/crun": "#!", "usr/bin/crun": "#!"})
	withTable(t, map[string][]string{"crun": {root + "/usr/bin/crun"}})
	conf := filepath.Join(root, "containers.conf")
	write := func(content string) {
		if err := os.WriteFile(conf, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(rowFor(root+"/none", root+"/opt/crun"))
	if got, err := Find("crun", nil, []string{conf}, ""); err != nil || got != root+"/opt/crun" {
		t.Errorf("Find = %q, %v", got, err)
	}
	write(rowFor(root + "/none"))
	if got, err := Find("crun", nil, []string{conf}, ""); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "no valid executable found for OCI runtime crun") {
		t.Errorf("Find = %q, %v", got, err)
	}
	// Another installation's link: each would call the other for ever.
	if err := os.Symlink(Program, filepath.Join(root, "other")); err != nil {
		t.Fatal(err)
	}
	write(rowFor(root+"/other", root+"/opt/crun"))
	if got, err := Find("crun", nil, []string{conf}, ""); err != nil || got != root+"/opt/crun" {
		t.Errorf("Find = %q, %v", got, err)
	}
}

func BenchmarkRow(b *testing.B) {
	files := func() []string { return Files(os.Getenv, os.Geteuid()) }
	for range b.N {
		row("crun", files())
	}
}
