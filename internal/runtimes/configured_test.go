package runtimes

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRowsAreReadAsPodmanReadsThem(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		crun    []string // nil for none
	}{
		"a table":                   {"[engine.runtimes]\ncrun = [\"/opt/crun\", \"/usr/bin/crun\"]\nrunc = [\"/r\"]\n", []string{"/opt/crun", "/usr/bin/crun"}},
		"a dotted key":              {"[engine]\nruntimes.crun = ['/opt/crun']\n", []string{"/opt/crun"}},
		"dotted from the top":       {"engine . runtimes.\"crun\" = [\n  \"/opt/crun\", # newer\n]\n", []string{"/opt/crun"}},
		"an inline table":           {"[engine]\nruntimes = { crun = [\"/opt/crun\"], runc = [] }\n", []string{"/opt/crun"}},
		"inline from the top":       {"engine = { runtimes = { crun = [\"/opt/crun\"] } }\n", []string{"/opt/crun"}},
		"another case":              {"[Engine.Runtimes]\ncrun = [\"/opt/crun\"]\n", []string{"/opt/crun"}},
		"an empty row":              {"[engine.runtimes]\ncrun = []\n", []string{}},
		"a comment":                 {"[engine]\n#[engine.runtimes]\n# crun = [\"/opt/crun\"]\n", nil},
		"another table":             {"[machine.runtimes]\ncrun = [\"/opt/crun\"]\n", nil},
		"what podman could not use": {"[engine.runtimes]\ncrun = \"/opt/crun\"\n", nil},
		"no TOML":                   {"[engine.runtimes]\ncrun = [\"/opt/crun\"]\n]]\n", nil},
		"a default alone":           {"[engine]\nruntime = \"crun\"\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "containers.conf")
			if err := os.WriteFile(file, []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			got, ok := read(file).Rows["crun"]
			if ok != (test.crun != nil) || !slices.Equal(got, test.crun) {
				t.Errorf("read %q, %v; want %q", got, ok, test.crun)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("[engine.runtimes]\ncrun = [\"/opt/crun\"]\n"))
	f.Add([]byte("engine = { runtimes = { crun = [[1]] }, runtime = \"x\" }\n"))
	f.Fuzz(func(t *testing.T, content []byte) { parse("file", content) })
}

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
			if got := row("crun", configured(root, filepath.Join(root, "home"), test.uid)); !slices.Equal(got, test.want) {
				t.Errorf("row %q, want %q", got, test.want)
			}
		})
	}
}

func TestFilesThatTheEnvironmentNames(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		euid int
		has  []string
		not  []string
	}{
		"a user":                     {map[string]string{"HOME": "/home/alice", "_CONTAINERS_ROOTLESS_UID": "1000"}, 0, []string{"/etc/containers/containers.conf", "/home/alice/.config/containers/containers.conf"}, nil},
		"XDG_CONFIG_HOME":            {map[string]string{"HOME": "/home/alice", "XDG_CONFIG_HOME": "/x"}, 1000, []string{"/x/containers/containers.conf"}, []string{"/home/alice/.config/containers/containers.conf"}},
		"root":                       {map[string]string{"HOME": "/root"}, 0, []string{"/root/.config/containers/containers.conf"}, nil},
		"root in a user's home":      {map[string]string{"HOME": "/home/alice"}, 0, nil, []string{"/home/alice/.config/containers/containers.conf"}},
		"CONTAINERS_CONF":            {map[string]string{"CONTAINERS_CONF": "/c"}, 0, []string{"/c"}, []string{"/etc/containers/containers.conf"}},
		"CONTAINERS_CONF_OVERRIDE":   {map[string]string{"CONTAINERS_CONF_OVERRIDE": "/o"}, 0, []string{"/etc/containers/containers.conf", "/o"}, nil},
		"nothing, as conmon may get": {nil, 0, []string{"/usr/share/containers/containers.conf", "/etc/containers/containers.conf"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			files := Files(func(key string) string { return test.env[key] }, test.euid)
			for _, file := range test.has {
				if !slices.Contains(files, file) {
					t.Errorf("%s is not among %q", file, files)
				}
			}
			for _, file := range test.not {
				if slices.Contains(files, file) {
					t.Errorf("%s is among %q", file, files)
				}
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

// TestFileThatBeginsWithAByteOrderMark, as some editors make it.
func TestFileThatBeginsWithAByteOrderMark(t *testing.T) {
	got := parse("x.conf", []byte("\ufeff[engine.runtimes]\ncrun=[\"/opt/crun\"]\n")).Rows["crun"]
	if len(got) != 1 || got[0] != "/opt/crun" {
		t.Errorf("the row is %q", got)
	}
}
