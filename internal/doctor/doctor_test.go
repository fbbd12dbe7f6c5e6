package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// tree writes files below a directory that stands for the host's root.
func tree(t *testing.T, files map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Host{Root: root, Getenv: func(string) string { return "" }}
}

// states is what came of the checks, in short.
func states(checks []Check) string {
	var all []string
	for _, c := range checks {
		all = append(all, string(c.State)+" "+c.Name)
	}
	return strings.Join(all, ", ")
}

// TestDoctorOfAUserWithoutAHome: podman is there, and says itself what is amiss.
func TestDoctorOfAUserWithoutAHome(t *testing.T) {
	h := tree(t, nil)
	h.Run = func(_ context.Context, program string, _ ...string) (string, error) {
		if program == "podman" {
			return "", errors.New("cannot resolve /nonexistent")
		}
		return Run(t.Context(), "no-such-program-"+program)
	}
	checks := h.builders(t.Context())
	if len(checks) != 1 || checks[0].State != Warn || checks[0].Says != "podman --version: cannot resolve /nonexistent" {
		t.Errorf("%+v", checks)
	}
	if _, err := h.Run(t.Context(), "systemctl"); err == nil || err.Error() != "it is not in $PATH" {
		t.Errorf("what is not there: %v", err)
	}
}

// TestEveryCheckThatIsNotOKSaysWhatMendsIt, on a host that has nothing.
func TestEveryCheckThatIsNotOKSaysWhatMendsIt(t *testing.T) {
	h := tree(t, nil)
	h.Libexec = h.Root + "/libexec"
	h.Daemon.Err = errors.New("connection refused")
	h.Run = func(context.Context, string, ...string) (string, error) { return "", errors.New("no such file") }
	checks := h.Examine(t.Context())
	if Worst(checks) != Fail {
		t.Errorf("all is %s", Worst(checks))
	}
	for _, c := range checks {
		if c.Name == "" || c.Says == "" || c.State != OK && c.Remedy == "" || c.State == OK && c.Remedy != "" {
			t.Errorf("%+v", c)
		}
	}
	for _, want := range []string{"fail cgroup", "fail systemd", "fail unit", "fail socket", "fail daemon", "fail wrapper", "warn builder"} {
		if !strings.Contains(states(checks), want) {
			t.Errorf("no %q in %s", want, states(checks))
		}
	}
}

// TestEmulatorThatWasRemovedIsFound: its handler stays registered, and builds fail.
func TestEmulatorThatWasRemovedIsFound(t *testing.T) {
	const dir = "proc/sys/fs/binfmt_misc/"
	handler := func(state, interpreter, flags string) string {
		return state + "\ninterpreter " + interpreter + "\nflags: " + flags + "\noffset 0\nmagic 7f\n"
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"none":         {map[string]string{dir + "status": "enabled", dir + "register": ""}, "ok emulation"},
		"Python alone": {map[string]string{dir + "python3.11": handler("enabled", "/usr/bin/none", "")}, "ok emulation"},
		"well":         {map[string]string{dir + "qemu-aarch64": handler("enabled", "/usr/libexec/qemu-binfmt/aarch64-binfmt-P", "POCF")}, "ok emulation"},
		"disabled":     {map[string]string{dir + "qemu-arm": handler("disabled", "/usr/bin/qemu-arm", "F")}, "warn emulation"},
		"removed":      {map[string]string{dir + "qemu-arm": handler("enabled", "/usr/bin/qemu-arm", "PO")}, "warn emulation"},
		"no F":         {map[string]string{dir + "qemu-arm": handler("enabled", "/usr/bin/qemu-arm", "PO"), "usr/bin/qemu-arm": ""}, "warn emulation"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tree(t, test.files).binfmt(t.Context()); states(got) != test.want {
				t.Errorf("got %+v, want %s", got, test.want)
			}
		})
	}
}

func TestUnitsAreLookedAtAsSystemdShowsThem(t *testing.T) {
	for shown, want := range map[string]string{
		"LoadState=loaded\nActiveState=active\nUnitFileState=enabled":        "ok unit, ok unit",
		"LoadState=loaded\nActiveState=active\nUnitFileState=disabled":       "warn unit, warn unit",
		"LoadState=loaded\nActiveState=inactive\nUnitFileState=enabled":      "fail unit, fail unit",
		"LoadState=not-found\nActiveState=inactive\nUnitFileState=":          "fail unit, fail unit",
		"LoadState=masked\nActiveState=inactive\nUnitFileState=masked":       "fail unit, fail unit",
		"LoadState=loaded\nActiveState=activating\nUnitFileState=enabled\nx": "fail unit, fail unit",
	} {
		h := Host{Run: func(context.Context, string, ...string) (string, error) { return shown, nil }}
		if got := h.units(t.Context()); states(got) != want {
			t.Errorf("%q: %s, want %s", shown, states(got), want)
		}
	}
}

// TestDenialOfSELinuxIsToldApartFromAFault: what the audit's entry has of anybody's choice is not shown.
func TestDenialOfSELinuxIsToldApartFromAFault(t *testing.T) {
	h := tree(t, map[string]string{"sys/fs/selinux/enforce": "1"})
	const entry = `AVC avc:  denied  { connectto } for  pid=812 comm="buildwatch-runt" path="/run/buildwatch/runtime.sock" scontext=system_u:system_r:container_runtime_t:s0 tcontext=system_u:system_r:unconfined_service_t:s0-s0:c0.c1023 tclass=unix_stream_socket permissive=0`
	for said, want := range map[string]string{
		entry: "SELinux is enforcing, and its policy denies buildwatch-runt (system_u:system_r:container_runtime_t:s0) to connectto a unix_stream_socket that is system_u:system_r:unconfined_service_t:s0-s0:c0.c1023",
		"":    "",
		strings.Replace(entry, "buildwatch-runt", "buildwatch\x1b[2J", 1): "",
	} {
		h.Run = func(context.Context, string, ...string) (string, error) { return said, nil }
		found := h.selinux(t.Context())[1:] // the first is about the label
		if want == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || found[0].State != Warn || found[0].Says != want || found[0].Remedy == "" {
			t.Errorf("of %q: %+v", said, found)
		}
	}
}

func TestConfigurationThatWasNotLoadedIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		daemon Daemon
		want   string
	}{
		"as the files":  {Daemon{}, "ok configuration"},
		"changed since": {Daemon{Differs: []string{"log.level is …", "and …"}}, "warn configuration, warn configuration"},
		"bad":           {Daemon{Info: api.Info{ConfigProblem: "the configuration is bad"}}, "fail configuration"},
		"not known":     {Daemon{Err: errors.New("not running")}, ""},
	} {
		if got := (Host{Daemon: test.daemon}).configuration(t.Context()); states(got) != test.want {
			t.Errorf("%s: %s, want %s", name, states(got), test.want)
		}
	}
}

// TestFeatureThatIsMissedIsTold, if there is no way to do without.
func TestFeatureThatIsMissedIsTold(t *testing.T) {
	tried := func(missing ...api.FeatureName) Host {
		host := api.Host{}
		for _, name := range missing {
			host.Features = append(host.Features, api.Feature{Name: name, Error: "ENOSYS"})
		}
		return Host{Daemon: Daemon{Info: api.Info{Host: &host}}}
	}
	if got := tried(api.FeaturePeerPidfd, api.FeatureOOMPolicy).features(t.Context()); states(got) != "ok feature" {
		t.Errorf("there is a way to do without: %+v", got)
	}
	if got := tried(api.FeaturePidfd, api.FeatureWchan).features(t.Context()); states(got) != "fail feature, warn feature" {
		t.Errorf("got %+v", got)
	}
}

func TestBuildsThatNeedAPersonAreNamed(t *testing.T) {
	head := func(state api.State, placement api.Placement) api.Build {
		return api.Build{BuildHead: api.BuildHead{ID: "bcdf2345", State: state, Placement: placement}}
	}
	h := tree(t, map[string]string{"etc/tmpfiles.d/buildwatch-removed.conf": ""})
	h.Daemon.Builds = []api.Build{head(api.StateRunning, api.PlacementScope), head(api.StateStuck, api.PlacementScope), head(api.StateRunning, api.PlacementObserved)}
	if got := h.leftovers(t.Context()); states(got) != "warn builds, warn builds, warn leftovers" {
		t.Errorf("got %+v", got)
	}
	if got := (Host{Root: t.TempDir()}).leftovers(t.Context()); states(got) != "ok builds" {
		t.Errorf("got %+v", got)
	}
}
