//go:build integration

package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// swarm is a RUN step that starts processes again and again, and ignores what can
// be ignored: some hundred at a time.
const swarm = `RUN trap '' TERM INT HUP; f() { while true; do /bin/busybox sleep 1; done; }; i=0; while [ $i -lt 60 ]; do f & i=$((i+1)); done; wait` + "\n"

const swarmSize = 80

// swarmLeft looks for what is left of a swarm, and of families.
const swarmLeft = "pgrep --full --list-full '[i] -lt 60|busybox [s]leep 1'"

// freezeSystemd freezes PID 1, until the test ends: it has connections, reads none of
// them and answers nothing. What the test has started is in its cgroup, and is moved
// out before.
func freezeSystemd(t *testing.T) (thaw func()) {
	t.Helper()
	const own, others = "/sys/fs/cgroup/init.scope", "/sys/fs/cgroup/tester"
	must(t, os.Mkdir(others, 0o755))
	move := func(to, from string) {
		for round := 0; ; round++ { // what is started meanwhile too
			left := 0
			for _, pid := range strings.Fields(sh(t, "cat %s/cgroup.procs", from)) {
				if pid != "1" {
					left++
					_ = os.WriteFile(to+"/cgroup.procs", []byte(pid), 0)
				}
			}
			// The cat is among them.
			if left <= 1 && round > 0 || round > 100 {
				return
			}
		}
	}
	move(others, own)
	thawed := false
	thaw = func() {
		if !thawed {
			thawed = true
			sh(t, "echo 0 > %s/cgroup.freeze", own)
		}
	}
	t.Cleanup(func() {
		thaw()
		move(own, others)
		eventually(t, func() (string, bool) {
			err := os.Remove(others)
			return fmt.Sprint(err), err == nil
		})
		sh(t, "systemctl is-system-running --wait >/dev/null || true")
	})
	must(t, os.WriteFile(own+"/cgroup.freeze", []byte("1"), 0))
	eventually(t, func() (string, bool) {
		events := sh(t, "cat %s/cgroup.events", own)
		return events, strings.Contains(events, "frozen 1")
	})
	return thaw
}

// rungTimes reads from the metrics how often each rung was used, and for how long in
// all.
type rungTimes map[api.Rung]struct{ uses, seconds float64 }

func readRungs(t *testing.T) rungTimes {
	t.Helper()
	times := rungTimes{}
	for _, step := range api.Rungs() {
		read := func(what string) float64 {
			value, err := strconv.ParseFloat(metric(t, fmt.Sprintf("buildwatch_ladder_rung_duration_seconds_%s{rung=%q}", what, step)), 64)
			must(t, err)
			return value
		}
		times[step] = struct{ uses, seconds float64 }{read("count"), read("sum")}
	}
	return times
}

// since is what was used after before.
func (after rungTimes) since(before rungTimes) rungTimes {
	times := rungTimes{}
	for step, now := range after {
		times[step] = struct{ uses, seconds float64 }{now.uses - before[step].uses, now.seconds - before[step].seconds}
	}
	return times
}

// costsItsTimeout fails the test where a rung took longer for each use than its
// time, by more than scheduling explains.
func (used rungTimes) costsItsTimeout(t *testing.T) {
	t.Helper()
	limits := map[api.Rung]float64{api.RungKill: 1, api.RungOwner: 4, api.RungStop: 1, api.RungCgroupKill: 1}
	for step, of := range used {
		if of.seconds > of.uses*(limits[step]+0.5) {
			t.Errorf("%s was used %.0f times, and took %.2f s", step, of.uses, of.seconds)
		}
	}
}

// subject is a build that is to be abandoned while something else hangs.
type subject struct {
	view api.Build
	held []*proc.Handle
	end  func() // lets nobody want it any more
	wait func() // for what is left of its client
}

// subjects are builds of each kind. size is the least number of processes that the
// instructions make.
var subjects = map[string]func(t *testing.T, instructions string, size int) subject{
	"root's": func(t *testing.T, instructions string, size int) subject {
		mayLeaveStorage(t)
		b := startBuild(t, instructions)
		view := b.supervised(size)
		return subject{view, hold(t, view), func() { _ = b.cmd.Process.Kill() }, func() { b.wait() }}
	},
	"a user's": func(t *testing.T, instructions string, size int) subject {
		p := startRootless(t, builder, instructions, "--network=none")
		view := listedOf(t, builder, size)
		return subject{view, hold(t, view), func() { p.signal(t, syscall.SIGKILL) }, func() { p.wait(t) }}
	},
	"an observed": func(t *testing.T, instructions string, size int) subject {
		mayLeaveStorage(t)
		b := startOutside(t, instructions, "runtime by hand")
		view := b.supervised(size)
		return subject{view, hold(t, view), func() { _ = b.cmd.Process.Kill() }, func() { b.wait() }}
	},
	"an observed in the host's PID namespace": func(t *testing.T, instructions string, size int) subject {
		mayLeaveStorage(t)
		b := startOutside(t, instructions, "cgroupfs by hand", "--pid=host")
		view := b.supervised(size)
		return subject{view, hold(t, view), func() { _ = b.cmd.Process.Kill() }, func() { b.wait() }}
	},
	"an observed chroot": func(t *testing.T, instructions string, size int) subject {
		mayLeaveStorage(t)
		b := startOutside(t, instructions, "chroot")
		view := b.supervised(size)
		return subject{view, hold(t, view), func() { _ = b.cmd.Process.Kill() }, func() { b.wait() }}
	},
	"a run": func(t *testing.T, instructions string, size int) subject {
		mayLeaveStorage(t)
		b := startRun(t, root, instructions, false, nil)
		view := b.supervised(size)
		return subject{view, hold(t, view), func() { _ = b.cmd.Process.Kill() }, func() { b.wait() }}
	},
}

// endsInTime abandons the subject, and waits until no process of it is left.
func (s subject) endsInTime(t *testing.T, most time.Duration) {
	t.Helper()
	started := time.Now()
	s.end()
	allGone(t, s.held)
	eventually(t, func() (string, bool) {
		out, err := try(swarmLeft)
		return "left:\n" + out, err != nil
	})
	took := time.Since(started)
	t.Logf("gone after %v", took)
	if took > soon(most) {
		t.Errorf("gone after %v", took)
	}
}

// TestFrozenSystemdCostsItsTimeoutAndNoMore: PID 1 has the daemon's connection and
// answers no call on it. Each call costs the time of its rung, and the kernel ends
// the build: by cgroup.kill what is in a scope, by pidfd what is not.
func TestFrozenSystemdCostsItsTimeoutAndNoMore(t *testing.T) {
	for kind, start := range subjects {
		for name, instructions := range map[string]string{"family": family, "swarm": swarm} {
			t.Run(kind+", "+name, func(t *testing.T) {
				leakCheck(t)
				size := familySize
				if name == "swarm" {
					size = swarmSize
				}
				s := start(t, instructions, size)
				before := readRungs(t)
				thaw := freezeSystemd(t)
				// KillUnit and StopUnit have one second each.
				s.endsInTime(t, 4*time.Second)
				nothingListed(t)
				used := readRungs(t).since(before)
				t.Logf("%+v", used)
				used.costsItsTimeout(t)
				thaw()
				s.wait()
			})
		}
	}
}

// TestMessageBusIsNotNeeded: it is stopped, with all that hangs on it, while builds
// are abandoned; and a new one is placed.
func TestMessageBusIsNotNeeded(t *testing.T) {
	for kind, start := range subjects {
		t.Run(kind, func(t *testing.T) {
			leakCheck(t)
			s := start(t, family, familySize)
			stopBus(t)
			before := readRungs(t)
			s.endsInTime(t, 3*time.Second)
			s.wait()
			nothingListed(t)
			if used := readRungs(t).since(before); used[api.RungCgroupKill].uses != 0 {
				t.Errorf("systemd was not asked: %+v", used)
			}
		})
	}
	t.Run("a new build", func(t *testing.T) {
		leakCheck(t)
		stopBus(t)
		placed := metric(t, "buildwatch_placements_total")
		failed := metric(t, "buildwatch_dbus_request_failures_total{method=\"StartTransientUnit\"}")
		startBuild(t, "RUN true\n", "--layers=false").succeed()
		if now := metric(t, "buildwatch_placements_total"); now == placed {
			t.Error("the step was not placed")
		}
		if now := metric(t, "buildwatch_dbus_request_failures_total{method=\"StartTransientUnit\"}"); now != failed {
			t.Errorf("%s calls had failed, now %s", failed, now)
		}
	})
}

// stopBus stops the message bus until the test ends.
func stopBus(t *testing.T) {
	t.Helper()
	t.Cleanup(func() { startBus(t) })
	sh(t, "systemctl stop dbus.socket dbus.service 2>&1; ! busctl --timeout=1 list")
}

// startBus starts the message bus anew, and what does not come back by itself when the
// bus was away: sessions, and the users' systemd, without which bookworm's rootless
// podman runs no container.
func startBus(t *testing.T) {
	t.Helper()
	eventually(t, func() (string, bool) { // restarted often, it is held back for a while
		out, err := try("systemctl reset-failed; systemctl restart dbus.socket dbus.service && systemctl restart systemd-logind.service user@%d.service user@%d.service", userIDs[builder], userIDs[core])
		return out, err == nil
	})
}

// hangJobs makes a job that stops the scope wait for another that does not end: a
// service that is to be stopped with the scope and before it.
func hangJobs(t *testing.T, scope string) {
	t.Helper()
	service := "hanger-" + scope + ".service" // its own: the last one may be loaded still
	sh(t, "systemd-run --quiet --unit=%s --property=BindsTo=%s --property=After=%s --property=ExecStop='/bin/sleep 1000' --property=TimeoutStopSec=infinity /bin/sleep 1000", service, scope, scope)
	t.Cleanup(func() {
		sh(t, "systemctl kill --signal=KILL %s || true", service)
		eventually(t, func() (string, bool) { // as long as systemd keeps the service, it keeps the scope, too
			left := sh(t, "systemctl reset-failed %s 2>/dev/null || true; systemctl list-jobs --no-legend; systemctl list-units --all --no-legend %s", service, service)
			return left, !strings.Contains(left, scope) && !strings.Contains(left, service)
		})
	})
}

// TestJobThatNeverEndsCostsItsTimeoutAndNoMore.
func TestJobThatNeverEndsCostsItsTimeoutAndNoMore(t *testing.T) {
	t.Run("of a scope that empties", func(t *testing.T) {
		leakCheck(t)
		mayLeaveStorage(t)
		b := startBuild(t, family)
		view := b.supervised(familySize)
		held := hold(t, view)
		hangJobs(t, view.Scope)
		started := time.Now()
		_ = b.cmd.Process.Kill()
		b.wait()
		allGone(t, held)
		nothingListed(t)
		if took := time.Since(started); took > soon(ladderTime) {
			t.Errorf("it took %v", took)
		}
	})
	t.Run("of a scope with survivors", func(t *testing.T) {
		leakCheck(t)
		mayLeaveStorage(t)
		configured(t, "[ladder]\nabort_fuse = \"never\"\n")
		server := startFUSE(t, root)
		p, view := startWaiters(t, root, server)
		held := hold(t, view)
		hangJobs(t, view.Scope)
		started := time.Now()
		p.signal(t, syscall.SIGKILL)
		detail := inState(t, view.ID, api.StateStuck)
		if took := time.Since(started); took > soon(ladderTime) {
			t.Errorf("the ladder took %v", took)
		}
		jobs := sh(t, "systemctl list-jobs --no-legend")
		jobs = strings.Join(strings.Fields(jobs), " ")
		if !strings.Contains(jobs, view.Scope+" stop waiting") {
			t.Errorf("the scope's job does not wait: %s", jobs)
		}
		var used []api.Rung
		for _, step := range detail.Ladder {
			used = append(used, step.Rung)
			if !step.TimedOut || step.Survivors != 2 || step.Duration > api.Seconds(2*time.Second) {
				t.Errorf("a rung is %+v", step)
			}
		}
		if len(used) < 3 || used[0] != api.RungKill || used[1] != api.RungStop || used[2] != api.RungCgroupKill {
			t.Errorf("the ladder was %v", used)
		}
		server.release(t)
		allGone(t, held)
		nothingListed(t)
	})
}

// TestObservedBuildThatRunsAway: of its processes there is always another one, whose
// parent has ended. It can't be held, and is in the host's PID namespace; but it is in
// its container's cgroup.
func TestObservedBuildThatRunsAway(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	step := fmt.Sprintf("RUN %s='process bomb' %s 1 %s & /bin/busybox sleep 1001\n", roleEnv, bombProgram, bombRuns)
	b := startOutside(t, step, "cgroupfs by hand", append([]string{"--pid=host"}, strings.Fields(bombFlags(t))...)...)
	view := b.supervised(1)
	if !strings.Contains(view.Cgroup, "/buildah-buildah") {
		t.Fatalf("it is in %s", view.Cgroup)
	}
	time.Sleep(time.Second)
	before := readRungs(t)
	started := time.Now()
	_ = b.cmd.Process.Kill()
	eventually(t, func() (string, bool) {
		_, err := os.Stat("/sys/fs/cgroup" + view.Cgroup)
		return "its cgroup is there", os.IsNotExist(err)
	})
	took := time.Since(started)
	t.Logf("gone after %v: %+v", took, readRungs(t).since(before))
	if took > soon(ladderTime) {
		t.Errorf("gone after %v", took)
	}
	b.wait()
	nothingListed(t)
	eventually(t, func() (string, bool) {
		out, err := try("pgrep --full --list-full '%s'", bombProgram)
		return "left: " + out, err != nil
	})
}
