//go:build integration && vm

package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// What only a machine of its own can show: `make vm`. All cgroup controllers are there, and
// so limits are in force.

// hog is a shell's line that wants some 100 MiB of memory: one long string.
const hog = `/bin/busybox awk 'BEGIN {s = "x"; while (length(s) < 1e8) s = s s; print length(s)}'`

// native makes a context of a busybox that is not emulated, which has memory of its own only.
func native(t *testing.T, instructions string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	sh(t, "chmod 755 %s/..; cp %s/amd64/busybox %s/busybox", dir, fixtures, dir)
	write(t, dir+"/Containerfile", "FROM scratch\nCOPY --chmod=755 busybox /bin/busybox\nCOPY --chmod=755 busybox /bin/sh\n"+instructions)
	return dir
}

// TestEveryControllerIsThere, and the kernel and PID 1 are the VM's own.
func TestEveryControllerIsThere(t *testing.T) {
	leakCheck(t)
	have := strings.Fields(sh(t, "cat /sys/fs/cgroup/cgroup.controllers"))
	for _, name := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !strings.Contains(" "+strings.Join(have, " ")+" ", " "+name+" ") {
			t.Errorf("no controller %s in %q", name, have)
		}
	}
	if sh(t, "cat /proc/1/comm; systemd-detect-virt --container || true") != "systemd\nnone" {
		t.Error("PID 1 is not systemd on a host of its own")
	}
	if out := sh(t, "%s version", ctl); strings.Contains(out, "missing") && strings.Contains(out[strings.Index(out, "missing"):], "controller") {
		t.Errorf("version misses a controller:\n%s", out)
	}
}

// TestABuildOutOfMemorySaysSoAndHarmsNoNeighbour, for root and rootless, by [limits] and by
// --property: reason, journal, metric and message name it.
func TestABuildOutOfMemorySaysSoAndHarmsNoNeighbour(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { core.tidy(t) })
	limited(t, "[limits]\nMemoryMax = \"48M\"\nMemorySwapMax = 0\n[limits.user.root]\nMemoryMax = \"\"\n")
	neighbour := startDetached(t, root, "podman build --no-cache --network=none "+native(t, "RUN /bin/busybox sleep 1002\n"), 1)
	hungry := native(t, "RUN "+hog+"\n")
	before := metric(t, `buildwatch_builds_ended_total{reason="out_of_memory"}`)
	for i, line := range []string{
		"runuser --login core --session-command " + quoted("podman build --no-cache --network=none "+hungry),
		ctl + " run --property MemoryMax=48M --property MemorySwapMax=0 -- podman build --no-cache --network=none " + hungry,
	} {
		out, err := try("%s", line)
		if err == nil {
			t.Errorf("%s has what it wanted:\n%s", line, out)
		}
		if i == 1 && !strings.Contains(out, "the build was short of memory: ") {
			t.Errorf("the run does not say what it was short of:\n%s", out)
		}
		eventually(t, func() (string, bool) {
			now := metric(t, `buildwatch_builds_ended_total{reason="out_of_memory"}`)
			return now + " have ended so, " + before + " before", now == plus(t, before, i+1)
		})
	}
	if out := sh(t, "journalctl --sync; journalctl -q --no-pager -o cat -t buildwatchd"); !strings.Contains(out, "MemoryMax=48M of the build's scope was reached") {
		t.Errorf("the journal does not name the limit:\n%s", out)
	}
	view, err := show(neighbour.ID)
	if err != nil || view.State != api.StateRunning || view.Processes < 1 {
		t.Errorf("the neighbour: %+v, %v", view, err)
	}
	sh(t, "%s stop %s", ctl, neighbour.ID)
	nothingListed(t)
}

func plus(t *testing.T, number string, more int) string {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(number, &n); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(n + more)
}

// TestABuildOutOfTasksSaysSo.
func TestABuildOutOfTasksSaysSo(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	steps := native(t, "RUN for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do /bin/busybox sleep 3 & done; wait\n")
	out, err := try("%s run --property TasksMax=40 -- podman build --no-cache --network=none %s", ctl, steps)
	if err == nil || !strings.Contains(out, "the build was short of tasks: ") || !strings.Contains(out, "TasksMax=40 of the build's scope was reached") {
		t.Errorf("%v\n%s", err, out)
	}
	eventually(t, func() (string, bool) {
		n := metric(t, `buildwatch_builds_ended_total{reason="out_of_tasks"}`)
		return n + " have ended so", n != "0"
	})
}

// TestLimitsOfPodmanAreInForceInTheScope: --memory and --cpus of podman build bound the
// container as they do without buildwatch, and those of the scope lie around them.
func TestLimitsOfPodmanAreInForceInTheScope(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { core.tidy(t) })
	limited(t, "[limits]\nMemoryMax = \"1G\"\nTasksMax = 500\nCPUQuota = \"150%\"\nIOWeight = 50\n")
	build := "podman build --no-cache --network=none --memory=64m --memory-swap=64m --cpu-quota=50000 --cpu-period=100000 " + native(t, "RUN /bin/busybox sleep 1003\n")
	for _, u := range []user{root, core} {
		line := build
		if u != root {
			line = "runuser --login " + string(u) + " --session-command " + quoted("exec "+build)
		}
		view := startDetached(t, u, line, 1)
		detail, err := show(view.ID)
		must(t, err)
		container, scope := "/sys/fs/cgroup"+detail.ProcessTree[0].Cgroup, "/sys/fs/cgroup"+view.Cgroup
		for file, want := range map[string]string{
			container + "/memory.max": "67108864", container + "/cpu.max": "50000 100000",
			scope + "/memory.max": "1073741824", scope + "/pids.max": "500", scope + "/cpu.max": "150000 100000", scope + "/io.weight": "default 50",
		} {
			if got := sh(t, "cat %s", file); got != want {
				t.Errorf("%s: %s is %q, want %q", u, file, got, want)
			}
		}
		sh(t, "%s stop %s", ctl, view.ID)
	}
	nothingListed(t)
}

// TestAppArmorIsEnforcing beside it, and has denied buildwatch nothing.
func TestAppArmorIsEnforcing(t *testing.T) {
	leakCheck(t)
	if out := sh(t, "cat /sys/module/apparmor/parameters/enabled /sys/module/apparmor/parameters/mode"); out != "Y\nenforce" {
		t.Errorf("AppArmor: %q", out)
	}
	startBuild(t, "RUN true\n").succeed()
	if out := sh(t, "journalctl -q --no-pager -k | grep 'apparmor=\"DENIED\"' | grep -E 'buildwatch|podman|crun' || true"); out != "" {
		t.Errorf("denied:\n%s", out)
	}
}
