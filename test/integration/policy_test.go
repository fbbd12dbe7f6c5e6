//go:build integration

package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// configured runs the daemon with further configuration until the test's end.
func configured(t *testing.T, lines ...string) {
	t.Helper()
	const dir = "/etc/buildwatch/buildwatchd.toml.d"
	const file = dir + "/80-test.toml"
	must(t, os.MkdirAll(dir, 0o755))
	restart := func() {
		sh(t, "systemctl restart buildwatchd.service")
		startDaemon(t)
	}
	must(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	t.Cleanup(func() {
		must(t, os.Remove(file))
		restart()
	})
	restart()
}

// isReported waits until a build is listed as abandoned and only reported.
func isReported(t *testing.T, id string, reason api.Reason) {
	t.Helper()
	eventually(t, func() (string, bool) {
		builds := listed(t)
		for _, view := range builds {
			if view.ID == id && view.State == api.StateAbandoned && view.Reported && view.Reason == reason {
				return "", true
			}
		}
		return fmt.Sprintf("not reported: %+v", builds), false
	})
}

// checkCode is what buildwatchctl check exits with, and what it says.
func checkCode(t *testing.T) (code int, said string) {
	t.Helper()
	out := sh(t, "%s check; echo \"code $?\"", ctl)
	said, number, ok := strings.Cut("\n"+out, "\ncode ")
	if !ok {
		t.Fatalf("check says %q", out)
	}
	code, err := strconv.Atoi(number)
	must(t, err)
	return code, strings.TrimSpace(said)
}

// TestReportPolicySendsNothing: a killed client's processes stay, are listed, logged
// and counted, also by the next daemon; a user's stop ends them.
func TestReportPolicySendsNothing(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	configured(t, "[policy]\nabandoned = \"report\"\n")
	const counter = `buildwatch_abandoned_reported_total{reason="owner_exited"}`
	b := startBuild(t, family)
	view := b.supervised(familySize)
	held := hold(t, view)
	_ = b.cmd.Process.Kill()
	b.wait()
	isReported(t, view.ID, api.ReasonOwnerExited)
	if got := metric(t, counter); got != "1" {
		t.Errorf("%s is %s", counter, got)
	}
	if code, said := checkCode(t); code != 22 || !strings.Contains(said, view.ID) {
		t.Errorf("check exits with %d and says %q", code, said)
	}
	if out := sh(t, "%s list 2>&1", ctl); !strings.Contains(out, "1 build is abandoned and only reported") {
		t.Errorf("list says\n%s", out)
	}
	if out := sh(t, "%s show %s", ctl, view.ID); !strings.Contains(out, "only reported: nothing is sent to it") ||
		!strings.Contains(out, "policy: abandoned builds are only reported") || !strings.Contains(out, "): ends it") {
		t.Errorf("show says\n%s", out)
	}
	warning := "Build " + view.ID + " would be ended (owner_exited)"
	warnings := func() int {
		return strings.Count(sh(t, "journalctl --sync; journalctl -q --no-pager -o cat -p warning -t buildwatchd"), warning)
	}
	if n := warnings(); n != 1 {
		t.Errorf("%d warnings", n)
	}
	// The next daemon finds it, and reports it.
	sh(t, "systemctl kill --signal=KILL buildwatchd.service")
	startDaemon(t)
	isReported(t, view.ID, api.ReasonOwnerExited)
	if n := warnings(); n != 2 {
		t.Errorf("%d warnings of two daemons", n)
	}
	if got := metric(t, counter); got != "1" {
		t.Errorf("%s of the next daemon is %s", counter, got)
	}
	time.Sleep(8 * time.Second) // longer than the ladder
	for _, h := range held {
		if !h.Alive() {
			t.Errorf("process %d has ended", h.PID)
		}
	}
	if n := metric(t, `buildwatch_ladder_rung_duration_seconds_count{rung="kill"}`); n != "0" {
		t.Errorf("%s rungs were used", n)
	}
	sh(t, "%s stop %s", ctl, view.ID)
	allGone(t, held)
	if code, said := checkCode(t); code != 0 {
		t.Errorf("check exits with %d and says %q", code, said)
	}
}

// TestReportedBuildThatEndsByItselfIsGone.
func TestReportedBuildThatEndsByItselfIsGone(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	configured(t, "[policy]\nabandoned = \"report\"\n")
	// As many processes as the OCI runtime never has: it ends by itself, too, if its
	// client is killed before the step has begun.
	b := startBuild(t, "RUN for i in 1 2 3 4; do /bin/busybox sleep 15 & done; wait\n")
	held := hold(t, b.supervised(familySize))
	view := listed(t)[0]
	started := time.Now()
	_ = b.cmd.Process.Kill()
	b.wait()
	isReported(t, view.ID, api.ReasonOwnerExited)
	allGone(t, held)
	if took := time.Since(started); took < 3*time.Second {
		t.Errorf("its processes have ended after %v", took)
	}
	eventually(t, func() (string, bool) {
		builds := listed(t)
		return fmt.Sprintf("still listed: %+v", builds), len(builds) == 0
	})
	if n := metric(t, `buildwatch_builds_ended_total{reason="owner_exited"}`); n != "1" {
		t.Errorf("%s ends are counted", n)
	}
	if n := metric(t, `buildwatch_cancel_duration_seconds_count{reason="owner_exited"}`); n != "0" {
		t.Errorf("%s of them as cancelled", n)
	}
}

// TestReportPolicyLeavesObservedAndAPIBuildsAlone.
func TestReportPolicyLeavesObservedAndAPIBuildsAlone(t *testing.T) {
	t.Run("observed", func(t *testing.T) {
		leakCheck(t)
		mayLeaveStorage(t)
		configured(t, "[policy]\nabandoned = \"report\"\n")
		b := startPodman(t, family, "--runtime", realRuntime(t), "build")
		view := b.supervised(familySize)
		if view.Placement != api.PlacementObserved {
			t.Fatalf("listed as %+v", view)
		}
		held := hold(t, view)
		before := view.Cgroup
		_ = b.cmd.Process.Kill()
		b.wait()
		isReported(t, view.ID, api.ReasonOwnerExited)
		time.Sleep(2 * time.Second)
		for _, h := range held {
			if !h.Alive() {
				t.Errorf("process %d has ended", h.PID)
			}
		}
		if now := listed(t)[0]; now.Scope != "" || now.Cgroup != before {
			t.Errorf("it was moved: %+v", now)
		}
		sh(t, "%s stop %s", ctl, view.ID)
		allGone(t, held)
		sh(t, "find /sys/fs/cgroup -depth -type d -name '*buildah-buildah*' -exec rmdir {} + 2>/dev/null || true")
	})
	t.Run("API", func(t *testing.T) {
		leakCheck(t)
		serveAPI(t)
		holdService(t, rootSocket)
		configured(t, "[policy]\nabandoned = \"report\"\n")
		b := startRemote(t, family)
		view := listedAs(t, 1, familySize)[0]
		held := hold(t, view)
		_ = b.cmd.Process.Kill()
		isReported(t, view.ID, api.ReasonClientDisconnected)
		time.Sleep(2 * time.Second)
		for _, h := range held {
			if !h.Alive() {
				t.Errorf("process %d has ended", h.PID)
			}
		}
		sh(t, "%s stop %s", ctl, view.ID)
		allGone(t, held)
		tidied(t)
	})
}

// TestReportedBuildGoesOnAndCompletes: of a buildwatchctl run that was killed, podman
// lives on, and its next steps are placed as before.
func TestReportedBuildGoesOnAndCompletes(t *testing.T) {
	leakCheck(t)
	configured(t, "[policy]\nabandoned = \"report\"\n")
	b := startCommand(t, ctl, "run", "--name", "kept", "--", "podman", "build", "--no-cache", "--network=none", "--platform", arch64,
		"--layers=false", "--tag", "kept", contextDir(t, ticks+"RUN echo end >> /ticks\n"))
	var view api.Build
	eventually(t, func() (string, bool) {
		builds := listed(t)
		if len(builds) == 1 && builds[0].Processes > 2 {
			view = builds[0]
		}
		return fmt.Sprintf("%+v", builds), view.ID != ""
	})
	_ = b.cmd.Process.Kill()
	isReported(t, view.ID, api.ReasonOwnerExited)
	eventually(t, func() (string, bool) {
		builds := listed(t)
		return fmt.Sprintf("still listed: %+v", builds), len(builds) == 0
	})
	if got := fileInImage(t, "kept", "ticks"); got != allTicks+"end\n" {
		t.Errorf("the image has the ticks %q", got)
	}
	sh(t, "podman rmi --force kept")
	b.wait()
}

// TestMaxRuntimeEndsABuild with the reason deadline, cleanly; also when it was begun
// under another daemon, and for a build of the API service, which is spared.
func TestMaxRuntimeEndsABuild(t *testing.T) {
	const ended = `buildwatch_builds_ended_total{reason="deadline"}`
	t.Run("local", func(t *testing.T) {
		leakCheck(t)
		configured(t, "[policy]\nmax_runtime = \"6s\"\n")
		b := startBuild(t, family)
		view := b.supervised(familySize)
		held := hold(t, view)
		if out := sh(t, "%s show %s", ctl, view.ID); !strings.Contains(out, "max_runtime: it is over at ") {
			t.Errorf("show says\n%s", out)
		}
		allGone(t, held)
		if lived := time.Since(view.CreatedAt); lived < 6*time.Second || lived > soon(12*time.Second) {
			t.Errorf("ended after %v", lived)
		}
		if code := b.wait(); code == 0 {
			t.Error("podman build reports success")
		}
		eventually(t, func() (string, bool) { n := metric(t, ended); return n + " ends are counted", n == "1" })
	})
	t.Run("after a restart", func(t *testing.T) {
		leakCheck(t)
		b := startBuild(t, family)
		view := b.supervised(familySize)
		held := hold(t, view)
		configured(t, "[policy]\nmax_runtime = \"10s\"\n")
		sh(t, "systemctl kill --signal=KILL buildwatchd.service")
		startDaemon(t)
		allGone(t, held)
		if lived := time.Since(view.CreatedAt); lived < 10*time.Second {
			t.Errorf("ended after %v", lived)
		}
		b.wait()
		eventually(t, func() (string, bool) { n := metric(t, ended); return n + " ends are counted", n == "1" })
	})
	t.Run("API", func(t *testing.T) {
		leakCheck(t)
		serveAPI(t)
		holdService(t, rootSocket)
		configured(t, "[policy]\nmax_runtime = \"6s\"\n")
		service := sh(t, "systemctl show -P MainPID podman.service")
		b := startRemote(t, family)
		view := listedAs(t, 1, familySize)[0]
		allGone(t, hold(t, view))
		b.wait()
		eventually(t, func() (string, bool) { n := metric(t, ended); return n + " ends are counted", n == "1" })
		tidied(t)
		if now := sh(t, "systemctl show -P MainPID podman.service"); now != service {
			t.Errorf("the service was %s and is %s", service, now)
		}
	})
}
