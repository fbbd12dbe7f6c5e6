//go:build integration

package integration

import (
	"os"
	"strings"
	"testing"
)

// limited puts limits of builds into force for the time of the test.
func limited(t *testing.T, toml string) {
	t.Helper()
	const file = "/etc/buildwatch/buildwatchd.toml.d/60-limits.toml"
	must(t, os.MkdirAll("/etc/buildwatch/buildwatchd.toml.d", 0o755))
	must(t, os.WriteFile(file, []byte(toml), 0o644))
	t.Cleanup(func() {
		must(t, os.Remove(file))
		sh(t, "systemctl restart buildwatchd.service")
	})
	sh(t, "systemctl restart buildwatchd.service")
}

// TestConfiguredLimitsAreTheScopes: for all, by mode and by user; the client's of a run
// as well, which gets no more by what it asks for.
func TestConfiguredLimitsAreTheScopes(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { core.tidy(t) })
	limited(t, "[limits]\nMemoryMax = \"3G\"\nTasksMax = 600\nCPUQuota = \"50%\"\n[limits.mode.run]\nCPUQuota = \"\"\n[limits.user.core]\nTasksMax = 500\nIOWeight = 20\n")
	build := "podman build --no-cache --network=none --platform " + arch64 + " " + sharedContext(t, "RUN /bin/busybox sleep 1001\n")
	for _, row := range []struct {
		user    user
		command string
		want    []string
	}{
		{root, build, []string{"MemoryMax=3221225472", "TasksMax=600", "CPUQuotaPerSecUSec=500ms", "IOWeight=[not set]"}},
		{core, build, []string{"MemoryMax=3221225472", "TasksMax=500", "CPUQuotaPerSecUSec=500ms", "IOWeight=20"}},
		{root, ctl + " run --property TasksMax=900 --property MemoryMax=1G --property MemoryHigh=2G -- " + build,
			[]string{"MemoryMax=1073741824", "MemoryHigh=2147483648", "TasksMax=600", "CPUQuotaPerSecUSec=infinity"}},
	} {
		line := row.command
		if row.user != root {
			line = "runuser --login " + string(row.user) + " --session-command " + quoted("exec "+row.command)
		}
		view := startDetached(t, row.user, line, 1)
		wantProperties(t, view.Scope, row.want...)
		if out := sh(t, "%s show %s", ctl, view.ID); !strings.Contains(out, "limits: ") || !strings.Contains(out, "MemoryMax=3G") || !strings.Contains(out, "by the configuration") {
			t.Errorf("show does not name the limits:\n%s", out)
		}
		sh(t, "%s stop %s", ctl, view.ID)
	}
	nothingListed(t)
}
