//go:build integration

package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDoctorFindsWhatIsBrokenAndSaysWhatMendsIt: what it says to type is typed, and all
// is well again.
func TestDoctorFindsWhatIsBrokenAndSaysWhatMendsIt(t *testing.T) {
	leakCheck(t)
	// doctor returns what is not ok, by name, and whether something fails.
	doctor := func() (map[string]string, bool) {
		t.Helper()
		out, err := try("%s doctor --json", ctl)
		var found struct {
			State  string
			Checks []struct{ Name, State, Message, Remedy string }
		}
		if json.Unmarshal([]byte(out), &found) != nil || (err != nil) != (found.State == "fail") {
			t.Fatalf("doctor: %v\n%s", err, out)
		}
		bad := map[string]string{}
		for _, c := range found.Checks {
			if c.State != "ok" {
				bad[c.Name] = c.State + ": " + c.Message + " → " + c.Remedy
			}
		}
		return bad, found.State == "fail"
	}
	if bad, fails := doctor(); fails {
		t.Fatalf("on a host where all is well: %v", bad)
	}
	const file = "/run/buildwatch/buildwatchd.toml.d/50-test.toml"
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	defer func() {
		must(t, os.RemoveAll(filepath.Dir(file)))
		sh(t, "systemctl reload buildwatchd.service")
	}()
	for _, broken := range []struct{ name, by, mend string }{
		{"wrapper", "rm " + dropIn, "PREFIX=/usr/local " + libexec + "/register on"},
		{"unit", "systemctl stop buildwatchd.socket buildwatchd.service", "systemctl start buildwatchd.socket buildwatchd.service"},
		{"configuration", "printf '[log]\\nlevel = \"debug\"\\n' >" + file, "systemctl reload buildwatchd.service"},
	} {
		sh(t, "%s", broken.by)
		bad, _ := doctor()
		if bad[broken.name] == "" {
			t.Errorf("%s: doctor finds %v", broken.by, bad)
		}
		sh(t, "%s", broken.mend)
		startDaemon(t)
		if bad, fails := doctor(); fails || bad[broken.name] != "" {
			t.Errorf("after %s doctor finds %v", broken.mend, bad)
		}
	}
	if said := sh(t, "%s config", ctl); !strings.Contains(said, `level = "debug"  # `+file+":2") || strings.Contains(said, "# differs") {
		t.Errorf("config says\n%s", said)
	}
}

// TestUnitOfTheAdministratorIsStartedWhenABuildIsGone, with what is known of the build.
func TestUnitOfTheAdministratorIsStartedWhenABuildIsGone(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	const unit, file, told = "/run/systemd/system/test-hook@.service", "/run/buildwatch/buildwatchd.toml.d/50-hook.toml", "/run/test-hook"
	must(t, os.WriteFile(unit, []byte("[Unit]\nCollectMode=inactive-or-failed\n[Service]\nType=oneshot\nEnvironmentFile=/run/buildwatch-ended/%i\n"+
		"ExecStart=/bin/sh -c 'echo \"%i $BUILDWATCH_REASON $BUILDWATCH_COMMAND\" >>"+told+"'\n"), 0o644))
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte("[on_end]\nstart = \"test-hook@.service\"\n"), 0o644))
	sh(t, "systemctl daemon-reload; systemctl reload buildwatchd.service")
	defer func() {
		must(t, os.RemoveAll(filepath.Dir(file)))
		sh(t, "rm -f %s %s; systemctl daemon-reload; systemctl reload buildwatchd.service", unit, told)
	}()
	startDaemon(t)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	must(t, b.cmd.Process.Kill())
	b.wait()
	eventually(t, func() (string, bool) {
		text, _ := os.ReadFile(told)
		return "the unit was told " + string(text), strings.Contains(string(text), view.ID+" owner_exited podman build\n")
	})
	if mode := sh(t, "stat -c %%a /run/buildwatch-ended /run/buildwatch-ended/%s", view.ID); mode != "700\n600" {
		t.Errorf("the facts have the modes %q", mode)
	}
}
