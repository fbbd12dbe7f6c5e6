//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// family is buildah issue #6786's RUN step: a shell and four sleeps.
const family = "RUN /bin/busybox sleep 1001 & /bin/busybox sleep 1002 & /bin/busybox sleep 1003 & /bin/busybox sleep 1004 & wait\n"

const familySize = 5

// hold takes hold of the processes of a build.
func hold(t *testing.T, view api.Build) []*proc.Handle {
	t.Helper()
	detail, err := show(view.ID)
	if err != nil {
		t.Fatal(err)
	}
	var held []*proc.Handle
	for _, p := range detail.ProcessTree {
		h, err := proc.Open(p.PID)
		if errors.Is(err, proc.ErrGone) {
			continue // one of podman's own that lasted a moment
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		held = append(held, h)
	}
	return held
}

// allGone waits for the end of all of them.
func allGone(t *testing.T, held []*proc.Handle) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	for _, h := range held {
		if err := h.Wait(ctx); err != nil {
			t.Errorf("process %d: %v\n%s", h.PID, err, sh(t, "ps -ef --forest"))
		}
	}
}

// TestCancelledBuildLeavesNothing is the point of the project.
func TestCancelledBuildLeavesNothing(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			b := startBuild(t, family)
			view := b.supervised(familySize)
			held := hold(t, view)
			if err := b.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			b.wait()
			allGone(t, held)
			eventually(t, func() (string, bool) {
				builds := listed(t)
				return fmt.Sprintf("still listed: %+v", builds), len(builds) == 0
			})
		})
	}
}

// TestEmulatedBuildIsShownAsSuch: what the list says of a build.
func TestEmulatedBuildIsShownAsSuch(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	eventually(t, func() (string, bool) { // what runs is looked at aside
		view = b.supervised(familySize)
		return fmt.Sprintf("listed as %+v", view), len(view.Arch) > 0
	})
	if view.State != api.StateRunning || view.Mode != api.ModeLocal || view.Owner.Command != "podman build" ||
		view.User.Name != "root" || strings.Join(view.Arch, ",") != "aarch64" || view.CPUSeconds <= 0 ||
		view.Scope != "buildwatch-"+view.ID+".scope" {
		t.Errorf("listed as %+v", view)
	}
	if got := sh(t, "systemctl show -P ControlGroup %s", view.Scope); got != view.Cgroup {
		t.Errorf("systemd says %s, the list %s", got, view.Cgroup)
	}
	sh(t, "%s stop %s", ctl, view.ID)
}

// TestDaemonKilledThenClientKilled: the daemon dies, the build goes on; it comes
// back, the client dies: nothing is left. Then both at once.
func TestDaemonKilledThenClientKilled(t *testing.T) {
	t.Run("restarted before", func(t *testing.T) {
		leakCheck(t)
		mayLeaveStorage(t)
		b := startBuild(t, family)
		before := b.supervised(familySize)
		held := hold(t, before)
		sh(t, "systemctl kill --signal=KILL buildwatchd.service")
		startDaemon(t)
		after := b.supervised(familySize)
		if after.ID != before.ID || !after.CreatedAt.Equal(before.CreatedAt) {
			t.Errorf("before the restart %+v, after it %+v", before, after)
		}
		_ = b.cmd.Process.Kill()
		allGone(t, held)
	})
	t.Run("client dies while the daemon is away", func(t *testing.T) {
		leakCheck(t)
		mayLeaveStorage(t)
		b := startBuild(t, family)
		held := hold(t, b.supervised(familySize))
		sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
		_ = b.cmd.Process.Kill()
		b.wait()
		time.Sleep(200 * time.Millisecond)
		for _, h := range held {
			if !h.Alive() {
				t.Errorf("process %d ended without the daemon", h.PID)
			}
		}
		startDaemon(t)
		allGone(t, held)
	})
}

// TestOwnerDiesWhileItsContainerIsCreated kills podman at every moment around
// the start of a RUN step.
func TestOwnerDiesWhileItsContainerIsCreated(t *testing.T) {
	leakCheck(t)
	before := storageOf(t, root)
	for i := range 40 {
		if killAtAStart(t, i, 60*time.Millisecond, func() *build { return startBuild(t, family) }) > 0 {
			t.Error("the builder was not seen, though its step came through the wrapper")
		}
	}
	noNews(t, root, before)
}

// TestOwnerDiesWhileItsUnplacedContainerIsCreated is the same where no container
// comes into a scope: the builder's cgroup namespace hides it.
func TestOwnerDiesWhileItsUnplacedContainerIsCreated(t *testing.T) {
	leakCheck(t)
	before := storageOf(t, root)
	for i := range 20 {
		start := func() *build {
			return startCommand(t, "unshare", "-C", "podman", "build", "--no-cache", "--network=none", "--platform", arch64, contextDir(t, family))
		}
		if killAtAStart(t, i, 200*time.Millisecond, start) > 0 {
			t.Error("the builder was not seen, though its step came through the wrapper")
		}
	}
	nothingListed(t)
	noNews(t, root, before)
	stopEmptyScopesOfRunc(t)
}

// TestOwnerDiesWhileItsObservedContainerIsCreated is the same round the wrapper.
func TestOwnerDiesWhileItsObservedContainerIsCreated(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			leakCheck(t)
			before := storageOf(t, root)
			unseen := 0
			for i := range 12 {
				unseen += killAtAStart(t, i, 200*time.Millisecond, func() *build { return startOutside(t, family, way) })
			}
			if unseen > 1 {
				t.Errorf("%d of 12 builders were not seen", unseen)
			}
			nothingListed(t)
			noNews(t, root, before)
			stopEmptyScopesOfRunc(t)
			sh(t, removeCgroups)
		})
	}
}

// killAtAStart kills podman some time, up to latest, after it has made a RUN step's
// bundle, and waits until nothing of the build is left. A builder that was killed
// before the daemon could see it with its monitor, which is a limit of observed builds,
// leaves orphans of nobody's: what is known so is stopped by hand, and counted.
func killAtAStart(t *testing.T, round int, latest time.Duration, start func() *build) (unseen int) {
	t.Helper()
	old, _ := filepath.Glob("/var/tmp/buildah*/config.json") // to be reclaimed
	b := start()
	// The bundle appears right before the container is created.
	eventually(t, func() (string, bool) {
		bundles, _ := filepath.Glob("/var/tmp/buildah*/config.json")
		return "no bundle", slices.ContainsFunc(bundles, func(one string) bool { return !slices.Contains(old, one) })
	})
	after := rand.N(latest)
	time.Sleep(after)
	_ = b.cmd.Process.Kill()
	b.wait()
	within(t, 2*long, func() (string, bool) { // orphans are looked for every 30 s
		left := buildProcesses(t)
		if len(left) == 0 {
			return "", true
		}
		builds := listed(t)
		for _, view := range builds {
			if view.State == api.StateUnsure && view.Placement == api.PlacementObserved && view.Owner.PID == 0 {
				unseen++
				t.Logf("round %d, killed after %v: its builder was not seen", round, after)
				sh(t, "%s stop %s", ctl, view.ID)
			}
		}
		return fmt.Sprintf("round %d, killed after %v, left: %s\nlisted: %+v\n%s", round, after, strings.Join(left, "\n"), builds, sh(t, "ps -eo pid,ppid,stat,lstart,cgroup,args --forest")), false
	})
	return unseen
}

// stopEmptyScopesOfRunc stops those that runc has asked for: systemd 252 keeps an
// empty one whose only process has lived for some milliseconds.
func stopEmptyScopesOfRunc(t *testing.T) {
	t.Helper()
	sh(t, "systemctl stop '*-buildah-buildah*.scope'")
}

// TestStopEndsALiveBuildCleanly: the containers first, so that podman removes
// its working containers, mounts and bundle itself. No mayLeaveStorage here.
func TestStopEndsALiveBuildCleanly(t *testing.T) {
	leakCheck(t)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	held := hold(t, view)
	if got := sh(t, "%s stop %s", ctl, view.ID[:4]); got != view.ID {
		t.Errorf("stop printed %q, want the ID %s", got, view.ID)
	}
	allGone(t, held)
	if code := b.wait(); code == 0 {
		t.Error("podman build reports success")
	}
	for series, want := range map[string]string{
		`buildwatch_builds{placement="scope",state="running"}`: "0",
	} {
		if got := metric(t, series); got != want {
			t.Errorf("%s is %s, want %s", series, got, want)
		}
	}
}

// TestStopAtAnyMomentOfAStep: a step's container may be just being created, not
// yet started, or gone already, and the next one must not start. Whenever the
// stop comes, podman tidies up by itself. No mayLeaveStorage here.
func TestStopAtAnyMomentOfAStep(t *testing.T) {
	leakCheck(t)
	for round := range 12 {
		b := startBuild(t, strings.Repeat("RUN true\n", 100), "--layers=false")
		view := b.supervised(0)
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		started := time.Now()
		// Between two steps nothing is signalled, and where the next one is long in coming the stop says so.
		if out, err := try("%s stop %s", ctl, view.ID); err != nil && !strings.Contains(out, "its next step is refused") {
			t.Errorf("%v: %s", err, out)
		}
		if code := b.wait(); code == 0 {
			t.Error("podman build reports success")
		}
		t.Logf("round %d: podman has tidied up after %v", round, time.Since(started))
	}
}

// slowStart is a runtime that waits before it opens the FIFO by which it tells the
// container to start: by then it has seen that the container is there.
const slowStart = `#!/bin/sh
case " $* " in
*" start "*) exec strace -f -o /dev/null -e trace=openat -e inject=openat:delay_enter=300ms -P "/run/%[2]s/buildah-$(basename "$PWD")/exec.fifo" %[1]s "$@" ;;
*) exec %[1]s "$@" ;;
esac
`

// TestStopOfAContainerThatIsJustBeingStarted: crun would wait for ever for one that
// is killed at that moment, podman with it, and nothing would be tidied up.
func TestStopOfAContainerThatIsJustBeingStarted(t *testing.T) {
	leakCheck(t)
	runtime := sh(t, "podman info --format '{{.Host.OCIRuntime.Name}}'")
	real := filepath.Join(t.TempDir(), runtime)
	slow := filepath.Join(t.TempDir(), "slow")
	sh(t, "cp /usr/bin/%s %s", runtime, real)
	write(t, slow, fmt.Sprintf(slowStart, real, runtime))
	sh(t, "mount --bind %s /usr/bin/%s", slow, runtime)
	t.Cleanup(func() { sh(t, "umount /usr/bin/%s", runtime) })
	b := startBuild(t, family)
	eventually(t, func() (string, bool) {
		out, err := try("pgrep -x strace")
		return out, err == nil
	})
	sh(t, "%s stop --all", ctl)
	if code := b.wait(); code == 0 {
		t.Error("podman build reports success")
	}
}

// TestStubbornOwnerIsEnded: an owner that does not end by itself gets SIGTERM,
// then SIGKILL.
func TestStubbornOwnerIsEnded(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	held := hold(t, view)
	sh(t, "kill -STOP %d", b.pid())
	started := time.Now()
	sh(t, "%s stop %s", ctl, view.ID)
	allGone(t, held)
	if status := b.wait(); status == 0 {
		t.Error("podman build reports success")
	}
	if ws, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("podman ended by %v, not by SIGKILL", ws.Signal())
	}
	if took := time.Since(started); took > soon(ladderTime) {
		t.Errorf("the ladder took %v", took)
	}
}

// TestPodmanRunIsNeverTouched: containers that are no build's, emulated, and
// with names that look like a build's.
func TestPodmanRunIsNeverTouched(t *testing.T) {
	leakCheck(t)
	startBuild(t, "RUN true\n", "--tag", "sleeper").succeed()
	placements := metric(t, "buildwatch_placements_total")
	id := sh(t, "podman run --detach --pids-limit=0 --network=none --platform %s --name buildah-buildah1 sleeper /bin/busybox sleep 1000 2>/dev/null", arch64)
	defer sh(t, "podman rm --force --time 0 buildah-buildah1")
	pid, err := strconv.Atoi(sh(t, "podman inspect --format '{{.State.Pid}}' %s", id))
	if err != nil {
		t.Fatal(err)
	}
	h, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(cgroup), "buildwatch") || !strings.Contains(string(cgroup), "libpod-"+id) {
		t.Errorf("the container is in %s", cgroup)
	}
	if got := metric(t, "buildwatch_placements_total"); got != placements {
		t.Errorf("%s placements before, %s after", placements, got)
	}
	sh(t, "systemctl restart buildwatchd.service")
	startDaemon(t)
	if !h.Alive() {
		t.Error("the container's process is gone")
	}
	if got := listed(t); len(got) != 0 {
		t.Errorf("listed: %+v", got)
	}
	sh(t, "podman rmi --force sleeper 2>/dev/null || true")
}
