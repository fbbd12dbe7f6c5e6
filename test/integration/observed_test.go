//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
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

// escapers is a RUN step whose processes leave their parents, their session and
// their names: a shell, a child, one that forked twice, one that did so in a
// session of its own, and one that has also taken another name. The shell becomes
// its last command.
const escapers = `RUN /bin/busybox mkfifo /fifo; /bin/busybox sleep 1001 & (/bin/busybox sleep 1002 &); (/bin/busybox setsid /bin/busybox sleep 1003 &); ` +
	`(/bin/busybox setsid /bin/sh -c 'echo innocent > /proc/self/comm; read never < /fifo' &); /bin/busybox sleep 1005` + "\n"

const escapersSize = 5

// defaultRuntime stands for the path of the runtime that podman takes by itself.
const defaultRuntime = "default"

// ways are those by which a build does not come through the wrapper.
var ways = map[string][]string{
	"runtime by hand":  {"--runtime", defaultRuntime, "build", "--network=none"},
	"runc by hand":     {"--runtime", "/usr/bin/runc", "build", "--network=none"},
	"cgroupfs by hand": {"--cgroup-manager=cgroupfs", "--runtime", defaultRuntime, "build", "--network=none"},
	"chroot":           {"build", "--isolation", "chroot"},
}

// realRuntime is the path of the OCI runtime that builds have here, round the wrapper.
func realRuntime(t *testing.T) string {
	t.Helper()
	return "/usr/bin/" + sh(t, "podman info --format '{{.Host.OCIRuntime.Name}}'")
}

// startOutside starts a build that does not come through the wrapper.
func startOutside(t *testing.T, instructions, way string, args ...string) *build {
	t.Helper()
	flags := slices.Clone(ways[way])
	for i, flag := range flags {
		if flag == defaultRuntime {
			// Bookworm's crun can't start root's containers in this machine.
			flags[i] = realRuntime(t)
		}
	}
	return startCommand(t, "podman", append(append(flags, args...), "--no-cache", "--platform", arch64, contextDir(t, instructions))...)
}

// removeCgroups removes the empty ones that are called as a step's.
const removeCgroups = "find /sys/fs/cgroup -depth -type d -path '*/buildah-buildah*' -exec rmdir {} +"

// places tells where processes are, in the kernel's words.
func places(t *testing.T, held []*proc.Handle) string {
	t.Helper()
	var all strings.Builder
	for _, h := range held {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", h.PID))
		must(t, err)
		fmt.Fprintf(&all, "%d %s", h.PID, cgroup)
	}
	return all.String()
}

// TestObservedBuildLeavesNothing: each way, its client ended by each signal.
func TestObservedBuildLeavesNothing(t *testing.T) {
	for way := range ways {
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
			t.Run(way+", "+signal.String(), func(t *testing.T) {
				leakCheck(t)
				mayLeaveStorage(t)
				b := startOutside(t, escapers, way)
				view := b.supervised(escapersSize)
				if view.Placement != api.PlacementObserved || view.State != api.StateRunning || view.Scope != "" ||
					view.Owner.Command != "podman build" || strings.Join(view.Arch, ",") != "aarch64" {
					t.Errorf("listed as %+v", view)
				}
				time.Sleep(time.Second) // what only lives for a moment has ended
				held := hold(t, b.supervised(escapersSize))
				before := places(t, held)
				time.Sleep(1500 * time.Millisecond) // some looks
				if after := places(t, held); after != before {
					t.Errorf("a live build was moved: before\n%s\nafter\n%s", before, after)
				}
				must(t, b.cmd.Process.Signal(signal))
				b.wait()
				allGone(t, held)
				nothingListed(t)
			})
		}
	}
}

func nothingListed(t *testing.T) {
	t.Helper()
	eventually(t, func() (string, bool) {
		said := "still listed:"
		builds := listed(t)
		for _, view := range builds {
			shown, _ := try("%s show %s", ctl, view.ID)
			said += "\n" + shown
		}
		return said, len(builds) == 0
	})
}

// TestObservedBuildIsWhole: nothing is done to one that runs to its end.
func TestObservedBuildIsWhole(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			leakCheck(t)
			startOutside(t, "RUN for i in 1 2 3 4; do echo tick $i >> /ticks; /bin/busybox sleep 1; done\nRUN echo end >> /ticks\n", way, "--tag", "whole").succeed()
			if got, want := fileInImage(t, "whole", "ticks"), "tick 1\ntick 2\ntick 3\ntick 4\nend\n"; got != want {
				t.Errorf("the image has %q, want %q", got, want)
			}
			sh(t, "podman rmi --force whole")
			nothingListed(t)
		})
	}
}

// TestStopEndsALiveObservedBuildCleanly: podman tidies up after its container. No
// mayLeaveStorage here.
func TestStopEndsALiveObservedBuildCleanly(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			leakCheck(t)
			b := startOutside(t, escapers, way)
			view := b.supervised(escapersSize)
			held := hold(t, view)
			sh(t, "%s stop %s", ctl, view.ID)
			allGone(t, held)
			if code := b.wait(); code == 0 {
				t.Error("podman build reports success")
			}
		})
	}
}

// TestBuildOlderThanTheDaemon: its owner lives when the daemon comes, and ends
// later.
func TestBuildOlderThanTheDaemon(t *testing.T) {
	for _, way := range []string{"runtime by hand", "chroot"} {
		t.Run(way, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
			b := startOutside(t, escapers, way)
			emulated(t, escapersSize)
			startDaemonOnly(t)
			held := hold(t, b.supervised(escapersSize))
			_ = b.cmd.Process.Kill()
			b.wait()
			allGone(t, held)
			nothingListed(t)
		})
	}
}

// emulated waits for that many emulated processes.
func emulated(t *testing.T, n int) {
	t.Helper()
	eventually(t, func() (string, bool) {
		count := sh(t, "ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c qemu- || true")
		now, err := strconv.Atoi(count)
		return count + " emulated processes", err == nil && now >= n
	})
	time.Sleep(200 * time.Millisecond) // some of them may still become others
}

// startDaemonOnly is startDaemon without a build to warm it up.
func startDaemonOnly(t *testing.T) {
	t.Helper()
	sh(t, "systemctl start buildwatchd.socket buildwatchd.service")
}

// TestOrphansOlderThanTheDaemonAreKept until their user says so.
func TestOrphansOlderThanTheDaemonAreKept(t *testing.T) {
	for _, way := range []string{"runtime by hand", "runc by hand", "cgroupfs by hand", "chroot"} {
		t.Run(way, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
			b := startOutside(t, escapers, way)
			emulated(t, escapersSize)
			_ = b.cmd.Process.Kill()
			b.wait()
			startDaemonOnly(t)
			var view api.Build
			eventually(t, func() (string, bool) {
				builds := listed(t)
				if len(builds) == 1 {
					view = builds[0]
				}
				return fmt.Sprintf("listed: %+v", builds), view.Processes > 0
			})
			if view.State != api.StateUnsure || view.Placement != api.PlacementObserved || !view.Owner.Exited || view.User.Name != "root" {
				t.Errorf("listed as %+v", view)
			}
			held := hold(t, view)
			time.Sleep(2 * time.Second)
			for _, h := range held {
				if !h.Alive() {
					t.Errorf("process %d was ended by guess", h.PID)
				}
			}
			sh(t, "%s stop %s", ctl, view.ID)
			allGone(t, held)
			nothingListed(t)
		})
	}
}

// TestDaemonAwayForOneStep: one build, of which one container is in its scope and
// another is not.
func TestDaemonAwayForOneStep(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	const instructions = "FROM base AS first\nRUN /bin/busybox sleep 1001\n" +
		"FROM base AS second\nRUN while ! /bin/busybox test -e /src/go; do /bin/busybox sleep 0.2; done\nRUN /bin/busybox sleep 1002\n" +
		"COPY --from=first /bin/sh /bin/sh2\n"
	dir := t.TempDir()
	b := startBuild(t, instructions, "--jobs", "3", "--volume", dir+":/src:ro")
	view := b.supervised(2)
	// Both containers of the first moment are placed; the daemon is away for the
	// step that follows.
	eventually(t, func() (string, bool) {
		detail, err := show(view.ID)
		placed := map[string]bool{}
		for _, p := range detail.ProcessTree {
			if strings.Contains(p.Cgroup, "/payload/run-") && p.Arch != "" {
				placed[p.Cgroup] = true
			}
		}
		return fmt.Sprintf("%+v, %v", detail, err), len(placed) == 2
	})
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	write(t, filepath.Join(dir, "go"), "")
	eventually(t, func() (string, bool) {
		_, err := try("pgrep -f '[s]leep 1002'")
		return "the step does not run: " + b.out.String(), err == nil
	})
	startDaemonOnly(t)
	eventually(t, func() (string, bool) {
		builds := listed(t)
		return fmt.Sprintf("listed: %+v", builds), len(builds) == 1 && builds[0].ID == view.ID && builds[0].Processes == 2
	})
	held := hold(t, listed(t)[0])
	if where := places(t, held); strings.Count(where, view.Scope) != 1 {
		t.Errorf("the build was %+v, the containers are in\n%s", view, where)
	}
	_ = b.cmd.Process.Kill()
	b.wait()
	allGone(t, held)
	nothingListed(t)
}

// TestRootlessObservedBuild: a user's, by each way. What podman has started for
// all of the user's containers stays.
func TestRootlessObservedBuild(t *testing.T) {
	for way, args := range map[string]string{
		"runtime by hand":  "--runtime /usr/bin/crun build",
		"cgroupfs by hand": "--cgroup-manager=cgroupfs --runtime /usr/bin/crun build",
		"chroot":           "build --isolation chroot",
	} {
		t.Run(way, func(t *testing.T) {
			leakCheck(t)
			tidyRootless(t)
			startBuildOf(t, builder, "podman "+args, escapers, "")
			view := listedOf(t, builder, escapersSize)
			if out := sh(t, "runuser -u builder -- %s list -q", ctl); out != view.ID {
				t.Errorf("the user sees %q, want %q", out, view.ID)
			}
			if out := sh(t, "runuser -u core -- %s list -q", ctl); out != "" {
				t.Errorf("another user sees %q", out)
			}
			held := hold(t, view)
			// The pause process keeps the user's namespace, for all their containers.
			pause := sh(t, "pgrep -u builder -x catatonit")
			sh(t, "kill -KILL %d", view.Owner.PID)
			allGone(t, held)
			if after := sh(t, "pgrep -u builder -x catatonit"); after != pause {
				t.Errorf("the pause process was %s, and is %s", pause, after)
			}
			nothingListed(t)
			eventually(t, func() (string, bool) {
				left := sh(t, "ps -u builder -o pid,comm,args | grep -E 'pasta|slirp4netns|fuse-overlayfs' | grep -v grep || true")
				return "left of the build: " + left, left == ""
			})
		})
	}
}

// tidyRootless removes what the user's podman has left when the test ends.
func tidyRootless(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		sh(t, "runuser --login builder --command 'podman rm --all --force; buildah rm --all; podman rmi --all --force'; rm -rf /var/tmp/buildah*; pkill -u builder -x 'podman|catatonit' || true")
	})
}

// TestLookalikeOfABuildIsUntouched: containers of podman run whose cgroups have a
// build's name (attack 25), as root and as a user.
func TestLookalikeOfABuildIsUntouched(t *testing.T) {
	leakCheck(t)
	startBuild(t, "RUN true\n", "--tag", "sleeper").succeed()
	t.Cleanup(func() { sh(t, "podman rmi --force sleeper") })
	image := filepath.Join(t.TempDir(), "image")
	sh(t, "podman save --output %s sleeper 2>/dev/null; chmod a+r %s; chmod a+x %s %s", image, image, filepath.Dir(image), filepath.Dir(filepath.Dir(image)))
	tidyRootless(t)
	sh(t, "runuser --login builder --command 'podman load --input %s'", image)
	run := "podman --cgroup-manager=cgroupfs run --detach --pids-limit=0 --network=none --platform " + arch64
	t.Cleanup(func() { sh(t, removeCgroups) }) // podman's own, left empty
	t.Cleanup(func() { sh(t, "podman rm --all --force --time 0 || podman rm --all --force --time 0") })
	pids := []string{
		sh(t, "podman inspect --format '{{.State.Pid}}' $(%s --cgroup-parent /buildah-buildah7 --name buildah-buildah7 sleeper /bin/busybox sleep 1000 2>/dev/null)", run),
		sh(t, `runuser --login builder --command "podman inspect --format '{{.State.Pid}}' \$(%s --name buildah-buildah8 sleeper /bin/busybox sleep 1000 2>/dev/null)"`, strings.Replace(run, "--cgroup-manager=cgroupfs ", "", 1)),
	}
	sh(t, "systemctl restart buildwatchd.service") // looks for everything that is there
	startDaemon(t)
	for _, pid := range pids {
		n, err := strconv.Atoi(pid)
		must(t, err)
		h, err := proc.Open(n)
		must(t, err)
		defer h.Close()
		// Its conmon ends, so that nobody but the name is left to tell what it is.
		sh(t, "kill -KILL $(ps -o ppid= %d)", n)
		sh(t, "systemctl restart buildwatchd.service")
		startDaemon(t)
		time.Sleep(time.Second)
		if !h.Alive() {
			t.Errorf("process %d is gone", n)
		}
		_ = h.Signal(syscall.SIGKILL)
	}
	if builds := listed(t); len(builds) != 0 {
		t.Errorf("listed: %+v", builds)
	}
}

// TestFakedMonitorEndsItsUsersOwnProcessesAlone: argv[0] can be chosen by anybody (attack
// 31), and a program too. Who does that has built nothing, and brings nobody else into it.
func TestFakedMonitorEndsItsUsersOwnProcessesAlone(t *testing.T) {
	leakCheck(t)
	dir := t.TempDir()
	sh(t, "cp /bin/bash %s/podman; chown -R builder %s; chmod a+x %s %s", dir, dir, dir, filepath.Dir(dir))
	// A shell called podman has a child called as the monitor, which has one in
	// namespaces of its own, where root's joins it. The uppermost then ends.
	fake := exec.Command("runuser", "-u", "builder", "--", filepath.Join(dir, "podman"), "-c",
		`(exec -a buildah-oci-runtime `+dir+`/podman -c 'unshare --user --map-root-user --mount --uts sleep 1009; true') & wait`)
	fake.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, fake.Start())
	find := func(name string) (h *proc.Handle) {
		eventually(t, func() (string, bool) {
			out, err := try("pgrep -x -f '%s'", name)
			if err == nil {
				pid, err := strconv.Atoi(out)
				must(t, err)
				h = holdPID(t, pid)
			}
			return "no " + name + ": " + out, err == nil
		})
		return h
	}
	its := find("sleep 1009")
	joins := exec.Command("nsenter", "--target", strconv.Itoa(its.PID), "--uts", "sleep", "1010")
	must(t, joins.Start())
	defer func() { _ = joins.Process.Kill(); _ = joins.Wait() }()
	roots := find("sleep 1010")
	startBuild(t, "RUN true\n").succeed() // makes the daemon look
	sh(t, "pkill -KILL -o -f '^%s/podman' || true", dir)
	_ = fake.Wait()
	startBuild(t, "RUN true\n").succeed()
	allGone(t, []*proc.Handle{its})
	nothingListed(t)
	if !roots.Alive() {
		t.Error("root's process was ended")
	}
}
