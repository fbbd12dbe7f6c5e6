//go:build integration

package integration

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// unitLimits are limits of the caller's unit, and what systemctl shows of them.
const unitLimits = "-p MemoryMax=3G -p TasksMax=1234 -p CPUQuota=150% -p AllowedCPUs=0 -p IPAddressDeny=10.9.8.0/24"

var limitsShown = []string{"MemoryMax=3221225472", "TasksMax=1234", "CPUQuotaPerSecUSec=1.500000s", "AllowedCPUs=0", "IPAddressDeny=10.9.8.0/24"}

// startDetached starts a command line that builds, and waits until it is listed as a
// build of the user's with n processes.
func startDetached(t *testing.T, u user, line string, n int) api.Build {
	t.Helper()
	cmd := exec.Command("bash", "-c", "exec "+line)
	must(t, cmd.Start())
	go func() { _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var view api.Build
	eventually(t, func() (string, bool) {
		builds := listed(t)
		for _, b := range builds {
			if b.User.Name == string(u) && b.Processes >= n {
				view = b
			}
		}
		return fmt.Sprintf("listed: %+v", builds), view.ID != ""
	})
	return view
}

func wantProperties(t *testing.T, unit string, want ...string) {
	t.Helper()
	shown := sh(t, "systemctl show --all %s", unit)
	for _, property := range want {
		if !strings.Contains("\n"+shown+"\n", "\n"+property+"\n") {
			name, _, _ := strings.Cut(property, "=")
			t.Errorf("%s has not %s:\n%s", unit, property, sh(t, "systemctl show -p %s %s", name, unit))
		}
	}
}

// TestLimitsOfTheCallersUnitHoldForTheBuild: a CI job's build is bounded as the job is.
func TestLimitsOfTheCallersUnitHoldForTheBuild(t *testing.T) {
	const step = "RUN /bin/busybox sleep 1001\n"
	for name, job := range map[string]struct {
		user    user
		command string
	}{
		"buildah":  {core, "buildah build --isolation oci --no-cache --network=none --platform " + arch64 + " "},
		"in a run": {core, ctl + " run --property TasksMax=1500 -- buildah build --isolation oci --no-cache --network=none --platform " + arch64 + " "},
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			t.Cleanup(func() { job.user.tidy(t) })
			view := startDetached(t, job.user, inUnit(job.user, unitLimits, job.command+sharedContext(t, step)), 1)
			if view.Placement != api.PlacementScope {
				t.Fatalf("listed as %+v", view)
			}
			wantProperties(t, view.Scope, append(limitsShown, "Slice=system.slice")...)
			if out := sh(t, "%s show %s", ctl, view.ID); !strings.Contains(out, "limits: ") || !strings.Contains(out, "no budget is shared") {
				t.Errorf("show says nothing of the limits:\n%s", out)
			}
			sh(t, "%s stop %s", ctl, view.ID)
			nothingListed(t)
		})
	}
}

// TestLimitsThatNeverBoundTheBuildDoNot: podman's containers are beside its own scope in
// the user's manager, and root's beside its unit, wherever they were started. buildah's are in
// no unit, which systemd would bound by DefaultTasksMax=.
func TestLimitsThatNeverBoundTheBuildDoNot(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { core.tidy(t) })
	for _, row := range []struct {
		user     user
		builder  string
		tasksMax string
	}{
		{root, "buildah build --isolation oci", "infinity"},
		{core, "podman build", sh(t, "systemctl show -P DefaultTasksMax")},
	} {
		view := startDetached(t, row.user, inUnit(row.user, unitLimits, row.builder+" --no-cache --network=none --platform "+arch64+" "+sharedContext(t, "RUN /bin/busybox sleep 1001\n")), 1)
		wantProperties(t, view.Scope, "MemoryMax=infinity", "IPAddressDeny=", "CPUQuotaPerSecUSec=infinity", "TasksMax="+row.tasksMax)
		sh(t, "%s stop %s", ctl, view.ID)
	}
	nothingListed(t)
}

// TestLimitsOfTheUsersManagerHoldForTheBuild, which the container would be in.
func TestLimitsOfTheUsersManagerHoldForTheBuild(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() {
		sh(t, "systemctl revert user@501.service")
		core.tidy(t)
	})
	sh(t, "systemctl set-property --runtime user@501.service MemoryMax=2G IPAddressDeny=10.9.8.0/24")
	view := startDetached(t, core, "runuser --login core --session-command "+quoted("exec podman build --no-cache --network=none --platform "+arch64+" "+sharedContext(t, "RUN /bin/busybox sleep 1001\n")), 1)
	wantProperties(t, view.Scope, "MemoryMax=2147483648", "IPAddressDeny=10.9.8.0/24", "Slice=user-501.slice")
	started := time.Now()
	sh(t, "busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/user_40501_2eservice org.freedesktop.DBus.Properties GetAll s org.freedesktop.systemd1.Service >/dev/null")
	t.Logf("a look at a unit's properties, with busctl's start: %v", time.Since(started))
	sh(t, "%s stop %s", ctl, view.ID)
	nothingListed(t)
}
