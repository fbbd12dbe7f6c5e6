//go:build integration && vm

package integration

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/test/matrix"
)

// What only a machine of its own can show: `make vm`. All cgroup controllers are there, and
// so limits are in force.

// hog is a shell's line that wants some 100 MiB of memory: one long string.
const hog = `/bin/busybox awk 'BEGIN {s = "x"; while (length(s) < 1e8) s = s s; print length(s)}'`

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

// TestABuildOutOfMemorySaysSoAndHarmsNoNeighbour, for root and rootless, local and by API, by
// [limits] and by --property: reason, journal, metric and message name it.
func TestABuildOutOfMemorySaysSoAndHarmsNoNeighbour(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { core.tidy(t) })
	limited(t, "[limits]\nMemoryMax = \"48M\"\nMemorySwapMax = 0\n[limits.mode.run]\nMemoryMax = \"\"\n")
	core.startSocket(t)
	// Each has a neighbour beside it: another user's, and one of the same service.
	waits := native(t, "RUN /bin/busybox sleep 1002\n")
	neighbours := []api.Build{
		startDetached(t, root, "podman build --no-cache --network=none "+waits, 1),
		startDetached(t, core, core.apiBuild(t, waits, ""), 1),
	}
	hungry := native(t, "RUN "+hog+"\n")
	before := metric(t, `buildwatch_builds_ended_total{reason="out_of_memory"}`)
	for i, line := range []string{
		"podman build --no-cache --network=none " + hungry,
		"runuser --login core --session-command " + quoted("podman build --no-cache --network=none "+hungry),
		core.apiBuild(t, hungry, ""),
		ctl + " run --property MemoryMax=48M --property MemorySwapMax=0 -- podman build --no-cache --network=none " + hungry,
	} {
		out, err := try("%s", line)
		if err == nil && !strings.Contains(out, "errorDetail") { // the API's answer is 200 by then
			t.Errorf("%s has what it wanted:\n%s", line, out)
		}
		if strings.HasPrefix(line, ctl) && !strings.Contains(out, "the build was short of memory: ") {
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
	for _, neighbour := range neighbours {
		view, err := show(neighbour.ID)
		if err != nil || view.State != api.StateRunning || view.Processes < 1 || view.Placement != api.PlacementScope {
			t.Errorf("the neighbour: %+v, %v", view, err)
		}
		sh(t, "%s stop %s", ctl, neighbour.ID)
	}
	nothingListed(t)
}

// apiBuild is the command line of a build of the user's by their API service.
func (u user) apiBuild(t *testing.T, dir, query string) string {
	t.Helper()
	sh(t, "tar --create --directory %s --file %s/../%s.tar .; chmod 755 %s/..", dir, dir, filepath.Base(dir), dir)
	line := fmt.Sprintf("curl -sS --no-buffer --unix-socket %s -H Content-Type:application/x-tar --data-binary @%s.tar \"http://d/build?forcerm=1&dockerfile=Containerfile&nocache=1&networkmode=none%s\"", u.socket(), dir, query)
	if u == root {
		return line
	}
	return "runuser --login " + string(u) + " --session-command " + quoted("exec "+line)
}

// TestSixWaysToCancelLeaveNothing: each of them, of root's and of a user's builds, where
// the controllers are enabled in every scope. One of them is of an emulated build: a
// translator that is translated itself takes twenty times as long.
func TestSixWaysToCancelLeaveNothing(t *testing.T) {
	for n, cell := range []matrix.Cell{
		{How: matrix.PodmanBuild, Runtime: matrix.Crun, Platform: matrix.ARM64, Cancel: matrix.Interrupt},
		{How: matrix.BuildahBuild, Runtime: matrix.Runc, Cancel: matrix.Terminate},
		{How: matrix.PodmanBuild, Runtime: matrix.Runc, Cancel: matrix.Kill},
		{How: matrix.PodmanBuild, Runtime: matrix.Crun, Manager: matrix.Cgroupfs, Cancel: matrix.Hangup},
		{How: matrix.Compat, Runtime: matrix.Crun, Cancel: matrix.ServiceKilled},
		{How: matrix.RemoteBusy, Runtime: matrix.Crun, Cancel: matrix.Disconnect},
	} {
		inBothHands(t, 10*n, cell, func(a *attempt) {
			gone := a.cancelled()
			a.t.Logf("gone after %v", gone)
		})
	}
}

// TestContentOfBuildsIsWhole, whoever builds.
func TestContentOfBuildsIsWhole(t *testing.T) {
	for n, cell := range []matrix.Cell{
		{How: matrix.PodmanBuild, Runtime: matrix.Crun, Shape: matrix.Jobs},
		{How: matrix.BuildahBuild, Runtime: matrix.Runc, Platform: matrix.ARM64},
		{How: matrix.Compat, Runtime: matrix.Crun},
	} {
		inBothHands(t, 100+10*n, cell, (*attempt).completed)
	}
}

// inBothHands tries something of a cell as root and as a user.
func inBothHands(t *testing.T, number int, cell matrix.Cell, try func(*attempt)) {
	t.Helper()
	cell.Platform = cmp.Or(cell.Platform, matrix.AMD64)
	cell.Manager = cmp.Or(cell.Manager, matrix.Systemd)
	cell.Shape = cmp.Or(cell.Shape, matrix.OneStep)
	for i, who := range []string{matrix.Root, matrix.Rootless} {
		cell.Who = who
		t.Run(cell.String(), func(t *testing.T) {
			leakCheck(t)
			try(newAttempt(t, cell, 400000+number+i))
		})
	}
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

// TestLimitsAreInForceInTheScope: those of podman build bound the container as they do
// without buildwatch, and those of the configuration lie around them: for all builds, by
// user, and by the way in which they were started.
func TestLimitsAreInForceInTheScope(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { core.tidy(t) })
	limited(t, `[limits]
MemoryMax = "1G"
TasksMax = 500
CPUQuota = "150%"
IOWeight = 50
[limits.user.core]
TasksMax = 400
[limits.mode.api]
MemoryMax = "900M"
IOWeight = 20
`)
	context := native(t, "RUN /bin/busybox sleep 1003\n")
	const flags = "podman build --no-cache --network=none --memory=64m --memory-swap=64m --cpu-quota=50000 --cpu-period=100000 --cpu-shares=512 --cpuset-cpus=0 "
	const query = "&memory=67108864&memswap=67108864&cpuquota=50000&cpuperiod=100000&cpushares=512&cpusetcpus=0"
	for _, row := range []struct {
		user                user
		line                string
		memory, tasks, ioWt string
	}{
		{root, flags + context, "1073741824", "500", "50"},
		{core, "runuser --login core --session-command " + quoted("exec "+flags+context), "1073741824", "400", "50"},
		{root, root.apiBuild(t, context, query), "943718400", "500", "20"},
		{core, core.apiBuild(t, context, query), "943718400", "400", "20"},
	} {
		if strings.Contains(row.line, "curl") {
			row.user.startSocket(t)
		}
		view := startDetached(t, row.user, row.line, 1)
		scope := "/sys/fs/cgroup" + view.Cgroup
		// The runtime joins the build's leaf, then a cgroup of the container's own, whose limits it writes last.
		eventually(t, func() (string, bool) {
			detail, err := show(view.ID)
			must(t, err)
			container := scope
			if len(detail.ProcessTree) > 0 {
				container = "/sys/fs/cgroup" + detail.ProcessTree[0].Cgroup
			}
			for file, want := range map[string]string{
				container + "/memory.max": "67108864", container + "/cpu.max": "50000 100000", container + "/cpuset.cpus": "0",
				scope + "/memory.max": row.memory, scope + "/pids.max": row.tasks, scope + "/cpu.max": "150000 100000", scope + "/io.weight": "default " + row.ioWt,
			} {
				text, err := os.ReadFile(file)
				if got := strings.TrimSpace(string(text)); err != nil || got != want {
					return fmt.Sprintf("%s: %s is %q, want %q", row.line, file, got, want), false
				}
			}
			// Which weight a number of shares becomes is each runtime's to say.
			if weight, err := os.ReadFile(container + "/cpu.weight"); err != nil || strings.TrimSpace(string(weight)) == "100" {
				return fmt.Sprintf("%s: the container's weight is %q, %v", row.line, weight, err), false
			}
			return "", true
		})
		sh(t, "%s stop %s", ctl, view.ID)
	}
	nothingListed(t)
}

// TestCPUQuotaHoldsBack what wants more CPU time.
func TestCPUQuotaHoldsBack(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	limited(t, "[limits]\nCPUQuota = \"10%\"\n")
	view := startDetached(t, root, "podman build --no-cache --network=none "+native(t, "RUN while :; do :; done\n"), 1)
	eventually(t, func() (string, bool) {
		text, err := os.ReadFile("/sys/fs/cgroup" + view.Cgroup + "/cpu.stat")
		must(t, err)
		stat := string(text)
		return stat, !strings.Contains(stat, "nr_throttled 0\n")
	})
	sh(t, "%s stop %s", ctl, view.ID)
	nothingListed(t)
}

// aBuildThatTicks starts a build of some seconds. What is returned checks that it is still the
// same one for the daemon, and waits until it has succeeded, whole.
func aBuildThatTicks(t *testing.T) (goesOn func()) {
	t.Helper()
	b := startCommand(t, "podman", "build", "--no-cache", "--network=none", "--tag", "ticks",
		native(t, "RUN for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >> /ticks; /bin/busybox sleep 1; done\n"))
	before := b.supervised(1)
	return func() {
		t.Helper()
		if after := b.supervised(1); after.ID != before.ID {
			t.Errorf("before %+v, after %+v", before, after)
		}
		b.succeed()
		if got := fileInImage(t, "ticks", "ticks"); got != "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n" {
			t.Errorf("the image has the ticks %q", got)
		}
		sh(t, "podman rmi --force ticks 2>/dev/null || true")
	}
}

// TestDaemonOutOfMemoryHarmsNoBuild: its own MemoryMax ends it, as a leak would. What is
// wanted goes on, and is found again.
func TestDaemonOutOfMemoryHarmsNoBuild(t *testing.T) {
	leakCheck(t)
	goesOn := aBuildThatTicks(t)
	pid := sh(t, "systemctl show -P MainPID buildwatchd.service")
	t.Cleanup(func() { sh(t, "systemctl revert buildwatchd.service") })
	sh(t, "systemctl set-property --runtime buildwatchd.service MemoryMax=1M MemorySwapMax=0")
	eventually(t, func() (string, bool) {
		now := sh(t, "systemctl show -P MainPID buildwatchd.service")
		return "it is still " + now, now != pid
	})
	sh(t, "systemctl revert buildwatchd.service")
	startDaemon(t)
	goesOn()
}

// TestDaemonOutOfTasksHarmsNoBuild: its own TasksMax lets it start no helper and no thread,
// and systemd no other daemon. What is wanted goes on, what begins meanwhile is built, and
// afterwards all is as before.
func TestDaemonOutOfTasksHarmsNoBuild(t *testing.T) {
	leakCheck(t)
	goesOn := aBuildThatTicks(t)
	t.Cleanup(func() { sh(t, "systemctl revert buildwatchd.service") })
	sh(t, "systemctl set-property --runtime buildwatchd.service TasksMax=1")
	startCommand(t, "podman", "build", "--no-cache", "--network=none", native(t, "RUN true\n")).succeed()
	sh(t, "systemctl revert buildwatchd.service")
	startDaemon(t)
	goesOn()
}

// TestDaemonWithTwentyBuildsIsWithinItsLimits: neither its MemoryMax nor its TasksMax is
// met while they run, or while they are all cancelled at once.
func TestDaemonWithTwentyBuildsIsWithinItsLimits(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	const builds = 20
	steps := native(t, "RUN /bin/busybox sleep 1004 & /bin/busybox sleep 1004 & wait\n")
	started := make([]*build, builds)
	for i := range started {
		started[i] = startCommand(t, "podman", "build", "--no-cache", "--network=none", steps)
	}
	eventually(t, func() (string, bool) {
		n := 0
		for _, view := range listed(t) {
			if view.Processes >= 3 {
				n++
			}
		}
		return fmt.Sprint(n, " builds run"), n == builds
	})
	for _, b := range started {
		must(t, b.cmd.Process.Kill())
	}
	nothingListed(t)
	const service = "/sys/fs/cgroup/system.slice/buildwatchd.service"
	if out := sh(t, "grep -HE '^(max|oom|oom_kill) ' %[1]s/memory.events %[1]s/pids.events | grep -v ' 0$' || true", service); out != "" {
		t.Errorf("a limit was met:\n%s", out)
	}
	t.Log(sh(t, "cd %s; for f in memory.peak memory.max pids.peak pids.max; do echo $f $(cat $f); done", service))
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

// TestSELinuxIsEnforcing beside it, in a VM that was booted with it: a build of root's and
// one of a user's are whole, a cancelled one leaves nothing, and buildwatch was denied nothing.
func TestSELinuxIsEnforcing(t *testing.T) {
	leakCheck(t)
	sh(t, "setenforce 1")
	t.Cleanup(func() { sh(t, "setenforce 0") })
	cell := matrix.Cell{How: matrix.PodmanBuild, Runtime: matrix.Crun, Cancel: matrix.Kill}
	inBothHands(t, 200, cell, func(a *attempt) {
		a.cancelled()
		a.completed()
	})
	t.Log(sh(t, "ps -eZ | grep -E 'buildwatch|podman|crun' || true; podman info --format '{{.Host.Security.SELinuxEnabled}}'"))
	if out := sh(t, "journalctl -q --no-pager -k | grep 'avc: *denied' | grep -E 'comm=\"(buildwatch|podman|crun|buildah)' || true"); out != "" {
		t.Errorf("denied:\n%s", out)
	}
}
