package podman

import (
	"slices"
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
		"all in capitals":           {"[ENGINE.RUNTIMES]\ncrun = [\"/opt/crun\"]\n", []string{"/opt/crun"}},
		"a dotted key in capitals":  {"[engine]\nRUNTIMES.crun = [\"/opt/crun\"]\n", []string{"/opt/crun"}},
		"an empty row":              {"[engine.runtimes]\ncrun = []\n", []string{}},
		"a comment":                 {"[engine]\n#[engine.runtimes]\n# crun = [\"/opt/crun\"]\n", nil},
		"another table":             {"[machine.runtimes]\ncrun = [\"/opt/crun\"]\n", nil},
		"what podman could not use": {"[engine.runtimes]\ncrun = \"/opt/crun\"\n", nil},
		"no TOML":                   {"[engine.runtimes]\ncrun = [\"/opt/crun\"]\n]]\n", nil},
		"a default alone":           {"[engine]\nruntime = \"crun\"\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := ReadConfig([]byte(test.content)).Rows["crun"]
			if ok != (test.crun != nil) || !slices.Equal(got, test.crun) {
				t.Errorf("read %q, %v; want %q", got, ok, test.crun)
			}
		})
	}
}

func FuzzReadConfig(f *testing.F) {
	f.Add([]byte("[engine.runtimes]\ncrun = [\"/opt/crun\"]\n"))
	f.Add([]byte("engine = { runtimes = { crun = [[1]] }, runtime = \"x\" }\n"))
	f.Fuzz(func(t *testing.T, content []byte) { ReadConfig(content) })
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
			files := ConfigFiles(func(key string) string { return test.env[key] }, test.euid, func(string) []string { return nil })
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

// TestFileThatBeginsWithAByteOrderMark, as some editors make it.
func TestFileThatBeginsWithAByteOrderMark(t *testing.T) {
	got := ReadConfig([]byte("\ufeff[engine.runtimes]\ncrun=[\"/opt/crun\"]\n")).Rows["crun"]
	if len(got) != 1 || got[0] != "/opt/crun" {
		t.Errorf("the row is %q", got)
	}
}
