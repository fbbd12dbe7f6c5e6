//go:build integration

package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// startRootless starts a user's build of the instructions, in a session of theirs.
func startRootless(t *testing.T, who user, instructions string, flags string) *program {
	t.Helper()
	return startBuildOf(t, who, "podman build", instructions, flags)
}

// startBuildOf is startRootless by another program and verb.
func startBuildOf(t *testing.T, who user, verb, instructions, flags string) *program {
	t.Helper()
	dir, err := os.MkdirTemp("", "rootless-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	sh(t, "cp -r %s/. %s; chmod -R a+rX %s", contextDir(t, instructions), dir, dir)
	p := startProgram(t, who, verb+" --no-cache --platform "+arch64+" "+flags+" "+dir, false)
	t.Cleanup(func() { who.tidy(t) })
	return p
}

// listedOf waits for the user's build with at least n processes.
func listedOf(t *testing.T, who user, n int) api.Build {
	t.Helper()
	var found api.Build
	eventually(t, func() (string, bool) {
		for _, view := range listed(t) {
			if view.User.Name == string(who) && view.Processes >= n {
				found = view
			}
		}
		return fmt.Sprintf("%s has no build: %+v", who, listed(t)), found.ID != ""
	})
	return found
}

// TestAttack20And23UserForgesWhatTheyOwn: the record of their build is not among
// it, and what is has bounds. The daemon is restarted meanwhile, and ends the
// build all the same.
func TestAttack20And23UserForgesWhatTheyOwn(t *testing.T) {
	unharmed := underAttack(t)
	p := startRootless(t, builder, family, "--network=none")
	view := listedOf(t, builder, familySize)
	held := hold(t, view)
	scope := "/sys/fs/cgroup" + view.Cgroup
	if out := builder.as(t, "forge", scope); !strings.Contains(out, "forged") {
		t.Errorf("nothing was forged: %s", out)
	}
	out := builder.as(t, "bomb", scope+"/payload")
	t.Log(out)
	var deep, wide int
	if _, err := fmt.Sscanf(out, "%d deep, %d wide", &deep, &wide); err != nil || deep == 0 || wide == 0 || deep > 16 || wide > 512 {
		t.Errorf("made %s", out)
	}
	sh(t, "systemctl kill --signal=KILL buildwatchd.service")
	startDaemon(t)
	after := listedOf(t, builder, familySize)
	if after.ID != view.ID || after.Owner.PID != view.Owner.PID || after.User != view.User {
		t.Errorf("before %+v, after %+v", view, after)
	}
	sh(t, "runuser -u builder -- %s stop %s", ctl, view.ID)
	allGone(t, held)
	p.wait(t)
	unharmed()
}

// TestAttack22LeafRemovedBetweenTwoSteps: it is made again, and the step runs.
func TestAttack22LeafRemovedBetweenTwoSteps(t *testing.T) {
	unharmed := underAttack(t)
	p := startRootless(t, builder, strings.Repeat("RUN echo x >> /x; /bin/busybox sleep 0.2\n", 6), "--network=none --layers=false --tag leaf")
	leaf := "/sys/fs/cgroup" + listedOf(t, builder, 0).Cgroup + "/payload/leaf"
	removed := 0
	for p.alive() {
		// While a container runs, nobody is in the leaf.
		if _, err := try("runuser -u builder -- rmdir %s", leaf); err == nil {
			removed++
		}
		time.Sleep(50 * time.Millisecond)
	}
	if status := p.wait(t); status != 0 {
		t.Fatalf("the build exits with %d:\n%s", status, p.said())
	}
	if removed < 2 {
		t.Errorf("the leaf was removed %d times", removed)
	}
	if got := builder.unshared(t, "podman", "cat $(podman image mount leaf)/x; podman image unmount leaf >/dev/null"); got != "x\nx\nx\nx\nx\nx" {
		t.Errorf("the image has %q", got)
	}
	if out := sh(t, "journalctl --sync; journalctl -q --no-pager -o cat -t buildwatch-runtime --since -20s"); out != "" {
		t.Logf("not placed: %s", out)
	}
	unharmed()
}

// TestHelpersOfACancelledBuildGoAndSharedOnesStay: pasta or slirp4netns are a build's
// own, and so is the fuse-overlayfs that serves its storage. The process that keeps the
// user's namespace, and what other containers use, are not.
func TestHelpersOfACancelledBuildGoAndSharedOnesStay(t *testing.T) {
	leakCheck(t)
	const conf = "/home/builder/.config/containers/storage.conf"
	sh(t, "install -d -o builder -g builder /home/builder/.config /home/builder/.config/containers")
	write(t, conf, "[storage]\ndriver = \"overlay\"\ngraphroot = \"/home/builder/fuse\"\nrunroot = \"/run/user/1000/fuse\"\n[storage.options.overlay]\nmount_program = \"/usr/bin/fuse-overlayfs\"\n")
	t.Cleanup(func() {
		builder.sh(t, "podman rm --all --force --time 0 >&2; podman rmi --all --force >&2 || true; podman network rm other >&2 || true; podman system migrate >&2")
		sh(t, "pkill -u builder -x aardvark-dns; pkill -u builder -x catatonit; pkill -u builder -x fuse-overlayfs; rm -rf %s", conf)
		builder.sh(t, "true")
		sh(t, "rm -rf /home/builder/fuse /run/user/1000/fuse")
	})
	startRootless(t, builder, "RUN true\n", "--network=none --tag other").wait(t)
	builder.sh(t, "podman network create other")
	builder.sh(t, "podman run --detach --pids-limit=0 --network other --name other --platform %s other /bin/busybox sleep 1000 2>/dev/null", arch64)
	helpers := func() map[string]string {
		found := map[string]string{}
		for line := range strings.Lines(sh(t, "ps -o pid=,comm= -u builder | grep -E ' (pasta|slirp4netns|fuse-overlayfs|catatonit|aardvark-dns)' || true")) {
			pid, name, _ := strings.Cut(strings.TrimSpace(line), " ")
			found[pid] = name
		}
		return found
	}
	shared := helpers()
	kinds := fmt.Sprint(shared)
	for _, want := range []string{"catatonit", "aardvark-dns", "fuse-overlayfs"} {
		if !strings.Contains(kinds, want) {
			t.Errorf("the other container has no %s: %v", want, shared)
		}
	}
	p := startRootless(t, builder, family, "")
	held := hold(t, listedOf(t, builder, familySize))
	own := 0
	for pid, name := range helpers() {
		if shared[pid] == "" {
			t.Logf("the build's own: %s %s", pid, name)
			own++
		}
	}
	if own < 2 {
		t.Errorf("the build has %d helpers of its own:\n%s", own, sh(t, "ps -ef --forest"))
	}
	p.signal(t, 9)
	allGone(t, held)
	eventually(t, func() (string, bool) {
		var left []string
		for pid, name := range helpers() {
			if shared[pid] == "" {
				left = append(left, pid+" "+name)
			}
		}
		return fmt.Sprintf("the build's helpers %v are left:\n%s", left, sh(t, "ps -ef --forest")), len(left) == 0
	})
	pause := sh(t, "pgrep -u builder -x catatonit | head -1")
	if mounts := sh(t, "grep -c ' fuse.fuse-overlayfs ' /proc/%s/mountinfo", pause); mounts != "1" {
		t.Errorf("%s mounts of fuse-overlayfs are there, want the other container's", mounts)
	}
	now := helpers()
	for pid, name := range shared {
		if now[pid] == "" {
			t.Errorf("%s, which others use, was ended", name)
		}
	}
	if out := builder.sh(t, "podman exec other /bin/busybox echo yes"); out != "yes" {
		t.Errorf("the other container says %q", out)
	}
}
