//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckTellsWhatIsWrongByItsExitCode. That of a build that is only reported is
// looked at in TestReportPolicySendsNothing.
func TestCheckTellsWhatIsWrongByItsExitCode(t *testing.T) {
	leakCheck(t)
	expect := func(code int, words string) {
		t.Helper()
		if got, said := checkCode(t); got != code || !strings.Contains(said, words) || strings.Contains(said, "\n") {
			t.Errorf("check exits with %d and says %q; want %d and %q", got, said, code, words)
		}
	}
	expect(0, "all is well, 0 builds")
	b := startBuild(t, family)
	view := b.supervised(familySize)
	expect(0, "all is well, 1 build")
	if out := sh(t, "%s check --json | tr -d ' \n'", ctl); out != `{"code":0,"builds":1,"findings":[]}` {
		t.Errorf("as JSON it says %s", out)
	}
	if out := sh(t, "%s check -q", ctl); out != "" {
		t.Errorf("quietly it says %q", out)
	}
	sh(t, "%s stop %s", ctl, view.ID)
	b.wait()

	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	expect(10, "buildwatchd is not running")
	// A daemon that refuses all requests: what it needs is missing.
	keeper := filepath.Join(libexec, "buildwatch-keeper")
	must(t, os.Rename(keeper, keeper+".away"))
	sh(t, "systemctl start buildwatchd.socket buildwatchd.service")
	expect(11, "refuses all requests")
	must(t, os.Rename(keeper+".away", keeper))
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	// One whose configuration is bad.
	const file = "/etc/buildwatch/buildwatchd.toml.d/70-bad.toml"
	must(t, os.MkdirAll("/etc/buildwatch/buildwatchd.toml.d", 0o755))
	must(t, os.WriteFile(file, []byte("nonsense"), 0o644))
	sh(t, "systemctl start buildwatchd.socket buildwatchd.service")
	expect(13, "the last good one is in force")
	must(t, os.Remove(file))
	sh(t, "systemctl restart buildwatchd.service")
	startDaemon(t)
	// One that hangs.
	sh(t, "systemctl kill --signal=STOP buildwatchd.service")
	expect(11, "does not answer")
	sh(t, "systemctl kill --signal=CONT buildwatchd.service")
	sh(t, "chmod 600 /run/buildwatch/control.sock")
	if out := sh(t, "runuser -u builder -- %s check; echo code $?", ctl); !strings.HasSuffix(out, "code 12") {
		t.Errorf("without permission it says %q", out)
	}
	sh(t, "chmod 666 /run/buildwatch/control.sock")
}
