package runtimes

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const libexec = "/usr/local/libexec/buildwatch"

func hostOf(root string) Host {
	return Host{Root: root, Libexec: libexec, LookPath: func(string) (string, error) { return "", errors.New("not found") }}
}

// TestTemplateHasTheRowsOfAHostThatSaysNothing: it is what a staged installation gets.
func TestTemplateHasTheRowsOfAHostThatSaysNothing(t *testing.T) {
	template, err := os.ReadFile("../../dist/containers/" + DropIn + ".in")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(strings.ReplaceAll(string(template), "@PREFIX@", "/usr/local"), "\n[engine.runtimes]\n")
	if rows, why := hostOf(tree(t, nil)).Rows(); rows != want || len(why) > 0 {
		t.Errorf("rows\n%s\nwant\n%s\n%q", rows, want, why)
	}
}

func TestDropInKeepsTheAdministratorsRow(t *testing.T) {
	root := tree(t, map[string]string{
		"etc/containers/containers.conf.d/10-acme.conf": rowFor("/opt/acme/crun"),
		"etc/containers/containers.conf.d/" + DropIn:    rowFor(libexec+"/crun", "/usr/bin/crun"),
		"opt/acme/crun": "#!",
	})
	rows, why := hostOf(root).Rows()
	if !strings.Contains(rows, `crun = ["`+libexec+`/crun", "/opt/acme/crun"]`+"\n") || !strings.Contains(rows, `"/usr/bin/runc"`) || len(why) > 0 {
		t.Errorf("rows\n%s\n%q", rows, why)
	}
}

// TestRuntimeThatOnlyPathLeadsToIsNotRegistered: the wrapper does not look there.
func TestRuntimeThatOnlyPathLeadsToIsNotRegistered(t *testing.T) {
	host := hostOf(tree(t, map[string]string{"usr/bin/runc": "#!"}))
	host.LookPath = func(name string) (string, error) { return "/nix/profile/bin/" + name, nil }
	rows, why := host.Rows()
	if strings.Contains(rows, "crun = ") || !strings.Contains(rows, "runc = ") || len(why) != 1 || !strings.Contains(why[0], "/nix/profile/bin/crun") {
		t.Errorf("rows\n%s\n%q", rows, why)
	}
}

func TestWhatGoesRoundTheWrapperIsNamed(t *testing.T) {
	ours := rowFor(libexec+"/crun", "/usr/bin/crun")
	const dir = "etc/containers/containers.conf.d/"
	for name, test := range map[string]struct {
		files map[string]string
		want  []string // parts of what is said, one for each
	}{
		"nothing":                 {map[string]string{dir + DropIn: ours, dir + "10.conf": rowFor("/opt/crun")}, nil},
		"a later row":             {map[string]string{dir + DropIn: ours, dir + "60-acme.conf": rowFor("/opt/crun")}, []string{"60-acme.conf has a row for crun"}},
		"a later row with it":     {map[string]string{dir + DropIn: ours, dir + "60.conf": rowFor(libexec+"/crun", "/opt/crun")}, nil},
		"users' rows":             {map[string]string{dir + DropIn: ours, "etc/containers/containers.rootless.conf": rowFor("/opt/crun")}, []string{"containers.rootless.conf has a row"}},
		"a default that is known": {map[string]string{dir + DropIn: ours, dir + "60.conf": "[engine]\nruntime = \"runc\"\n"}, nil},
		"a default that is a path": {
			map[string]string{dir + DropIn: ours, dir + "60.conf": "[engine]\nruntime = \"/opt/crun\"\n"}, []string{`60.conf has "/opt/crun"`},
		},
		"another runtime": {map[string]string{dir + DropIn: ours, "etc/containers/containers.conf": "[engine]\nruntime = \"youki\"\n"}, []string{`containers.conf has "youki"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := hostOf(tree(t, test.files)).Bypasses()
			if len(got) != len(test.want) {
				t.Fatalf("said: %q", got)
			}
			for _, part := range test.want {
				if !slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, part) }) {
					t.Errorf("nothing of %q in %q", part, got)
				}
			}
		})
	}
}

// TestChosenIsWhatPodmanTakes: the first path of the last row that is there, and what it
// leads to in the end.
func TestChosenIsWhatPodmanTakes(t *testing.T) {
	root := tree(t, map[string]string{"libexec/" + Program: "#!", "usr/bin/crun": "#!", "opt/crun": "#!"})
	if err := os.Symlink(Program, filepath.Join(root, "libexec/crun")); err != nil {
		t.Fatal(err)
	}
	wrapper := filepath.Join(root, "libexec/crun")
	h := Host{Root: "/", Libexec: filepath.Join(root, "libexec")}
	write := func(name, content string) string {
		file := filepath.Join(root, name)
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	ours := write(DropIn, rowFor(wrapper, root+"/usr/bin/crun"))
	before := write("10.conf", rowFor(root+"/usr/bin/crun"))
	after := write("60.conf", rowFor(root+"/none", root+"/opt/crun"))
	if chosen, program := h.Chosen("crun", []string{before, ours}); chosen != wrapper || program != root+"/usr/bin/crun" || !h.LeadsToUs(chosen) {
		t.Errorf("chosen is %s, which leads to %s", chosen, program)
	}
	if chosen, program := h.Chosen("crun", []string{before, ours, after}); chosen != root+"/opt/crun" || program != chosen || h.LeadsToUs(chosen) {
		t.Errorf("with a row after ours chosen is %s, which leads to %s", chosen, program)
	}
	if chosen, program := h.Chosen("crun", []string{write("70.conf", rowFor(root+"/none"))}); chosen != "" || program != "" {
		t.Errorf("where nothing is, chosen is %s, which leads to %s", chosen, program)
	}
}

// TestAnAdministratorsRowIsNoBypassBecauseTheDropInIsNotThereYet: who installs is told only of what will go round.
func TestAnAdministratorsRowIsNoBypassBecauseTheDropInIsNotThereYet(t *testing.T) {
	for file, want := range map[string]int{
		"etc/containers/containers.conf": 0, "usr/share/containers/containers.conf": 0, "etc/containers/containers.conf.d/10-acme.conf": 0,
		"etc/containers/containers.conf.d/99-acme.conf": 1, "etc/containers/containers.rootless.conf": 1,
	} {
		h := hostOf(tree(t, map[string]string{file: rowFor("/opt/crun")}))
		h.Registering = true
		if got := h.Bypasses(); len(got) != want {
			t.Errorf("%s: %q", file, got)
		}
	}
}
