//go:build integration

package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// ladderTime is what the whole ladder may take with its default timeouts.
const ladderTime = 7500 * time.Millisecond

// freeze freezes a cgroup as the user and waits until the kernel has done it.
func freeze(t *testing.T, who user, cgroup string) {
	t.Helper()
	dir := "/sys/fs/cgroup" + cgroup
	t.Cleanup(func() { _, _ = try("echo 0 > %s/cgroup.freeze", dir) })
	who.sh(t, "echo 1 > %s/cgroup.freeze", dir)
	eventually(t, func() (string, bool) {
		events := sh(t, "cat %s/cgroup.events", dir)
		return dir + ": " + events, strings.Contains(events, "frozen 1")
	})
}

// stepCgroup is the cgroup of the build's one RUN container.
func stepCgroup(t *testing.T, view api.Build) string {
	t.Helper()
	return strings.TrimPrefix(sh(t, "ls -d /sys/fs/cgroup%s/payload/run-*", view.Cgroup), "/sys/fs/cgroup")
}

// TestFrozenBuildIsEnded: whatever of it is frozen, by root or by its user, when its
// owner ends. A frozen process runs no handler, but SIGKILL ends it.
func TestFrozenBuildIsEnded(t *testing.T) {
	for name, frozen := range map[string]func(t *testing.T, view api.Build){
		"the scope, by its file": func(t *testing.T, view api.Build) { freeze(t, root, view.Cgroup) },
		"the scope, by systemd":  func(t *testing.T, view api.Build) { sh(t, "systemctl freeze %s", view.Scope) },
		"all containers":         func(t *testing.T, view api.Build) { freeze(t, root, view.Cgroup+"/payload") },
		"a container":            func(t *testing.T, view api.Build) { freeze(t, root, stepCgroup(t, view)) },
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			b := startBuild(t, family)
			view := b.supervised(familySize)
			held := hold(t, view)
			frozen(t, view)
			if shown := b.supervised(familySize); shown.State != api.StateRunning {
				t.Errorf("listed as %+v", shown)
			}
			started := time.Now()
			_ = b.cmd.Process.Kill()
			b.wait()
			allGone(t, held)
			nothingListed(t)
			if took := time.Since(started); took > soon(ladderTime) {
				t.Errorf("it took %v", took)
			}
		})
	}
	for name, frozen := range map[string]func(t *testing.T, view api.Build){
		// d is the user's, but its cgroup.freeze is not.
		"a user's containers":             func(t *testing.T, view api.Build) { freeze(t, root, view.Cgroup+"/payload") },
		"a user's container, by the user": func(t *testing.T, view api.Build) { freeze(t, builder, stepCgroup(t, view)) },
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			p := startRootless(t, builder, family, "--network=none")
			view := listedOf(t, builder, familySize)
			held := hold(t, view)
			frozen(t, view)
			started := time.Now()
			p.signal(t, 9)
			allGone(t, held)
			nothingListed(t)
			if took := time.Since(started); took > soon(ladderTime) {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestFrozenBuildIsStopped while its owner lives. Where the owner itself is frozen it
// can't tidy up; all the same nothing is left that runs, or could run again.
func TestFrozenBuildIsStopped(t *testing.T) {
	t.Run("its container", func(t *testing.T) {
		leakCheck(t) // and no mayLeaveStorage: podman tidies up
		b := startBuild(t, family)
		view := b.supervised(familySize)
		held := hold(t, view)
		freeze(t, root, stepCgroup(t, view))
		sh(t, "%s stop %s", ctl, view.ID)
		allGone(t, held)
		if b.wait() == 0 {
			t.Error("podman build reports success")
		}
	})
	for _, inside := range []string{"", "/command"} {
		for _, who := range []user{root, builder} {
			t.Run("all of a run's scope"+inside+", "+string(who), func(t *testing.T) {
				leakCheck(t)
				if who == root {
					mayLeaveStorage(t)
				} else {
					t.Cleanup(func() { who.tidy(t) })
				}
				b := startRun(t, who, family, false, nil)
				view := b.supervised(familySize)
				held := hold(t, view)
				freeze(t, root, view.Cgroup+inside)
				started := time.Now()
				sh(t, "%s stop %s", ctl, view.ID)
				allGone(t, held)
				if took := time.Since(started); took > soon(ladderTime) {
					t.Errorf("it took %v", took)
				}
				if code, _ := b.wait(); code == 0 {
					t.Error("the run reports success")
				}
				nothingListed(t)
			})
		}
	}
}

// TestFrozenObservedBuildIsEnded: its processes are in the cgroup that the runtime
// has made, which somebody has frozen.
func TestFrozenObservedBuildIsEnded(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	b := startOutside(t, family, "runtime by hand")
	view := b.supervised(familySize)
	held := hold(t, view)
	freeze(t, root, view.Cgroup)
	started := time.Now()
	_ = b.cmd.Process.Kill()
	b.wait()
	allGone(t, held)
	nothingListed(t)
	if took := time.Since(started); took > soon(ladderTime) {
		t.Errorf("it took %v", took)
	}
}
