//go:build integration

package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestReexecutedSystemd: systemd drops every connection when it is re-executed.
func TestReexecutedSystemd(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	b := startBuild(t, family)
	held := hold(t, b.supervised(familySize))
	sh(t, "systemctl daemon-reexec")
	_ = b.cmd.Process.Kill()
	allGone(t, held)
	b.wait()
	startBuild(t, "RUN true\n").succeed()
	if out := sh(t, "journalctl -q --no-pager -o cat -t buildwatch-runtime -n 1 --since -5s"); out != "" {
		t.Errorf("a container was not placed after it: %s", out)
	}
}

// silence puts a socket that nobody answers on in the place of systemd's private
// one, until the test ends, and has the daemon connect anew.
func silence(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "silent")
	listener, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	sh(t, "mount --bind %s /run/systemd/private", path)
	connectAnew := func() {
		sh(t, "busctl --no-pager call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager KillUnit ssi buildwatchd.service main 9")
		eventually(t, func() (string, bool) {
			out, err := try(ctl + " list -q")
			return out, err == nil
		})
	}
	t.Cleanup(func() {
		sh(t, "umount /run/systemd/private")
		connectAnew() // the next test is to find its connections
	})
	connectAnew()
}

// TestSilentSystemdCostsItsTimeoutAndNoMore: the wrapper passes through, and an
// abandoned build is ended by the kernel's own means.
func TestSilentSystemdCostsItsTimeoutAndNoMore(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	b := startBuild(t, family)
	held := hold(t, b.supervised(familySize))
	silence(t)
	killed := metric(t, `buildwatch_ladder_rung_duration_seconds_count{rung="cgroup_kill"}`)
	started := time.Now()
	_ = b.cmd.Process.Kill()
	allGone(t, held)
	if took := time.Since(started); took > soon(4*time.Second) {
		t.Errorf("the ladder took %v", took)
	}
	eventually(t, func() (string, bool) {
		now := metric(t, `buildwatch_ladder_rung_duration_seconds_count{rung="cgroup_kill"}`)
		return "cgroup.kill was not used: " + now, now != killed
	})
	b.wait()
	// The daemon's limit is 850 ms, the wrapper's a second.
	started = time.Now()
	startPodman(t, "RUN echo done > /done\n", "--cgroup-manager=cgroupfs", "build", "--tag", "silent").succeed()
	t.Logf("a build of one step took %v", time.Since(started))
	if got := fileInImage(t, "silent", "done"); got != "done\n" {
		t.Errorf("the image has %q", got)
	}
}

// TestLimitsAreInForceAsWithoutBuildwatch: --memory and --cpu-quota, where the
// machine has the controllers; and the same refusal where it has not.
func TestLimitsAreInForceAsWithoutBuildwatch(t *testing.T) {
	leakCheck(t)
	const instructions = "RUN cat() { /bin/busybox cat \"$@\"; }; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max; echo end\n"
	outcome := func() string {
		b := startCommand(t, "podman", "build", "--no-cache", "--network=none", "--memory=64m", "--cpu-period=100000", "--cpu-quota=50000", native(t, instructions))
		code := b.wait()
		var said []string
		for line := range strings.Lines(b.out.String()) {
			line = strings.TrimSpace(line)
			if line == "67108864" || line == "50000 100000" || line == "end" || strings.Contains(line, "is not available") {
				line, _, _ = strings.Cut(line, "under /sys") // the cgroup's own path
				said = append(said, line)
			}
		}
		return strings.Join(said, "; ") + " exit " + string(rune('0'+code%10))
	}
	with := outcome()
	must(t, os.Rename(dropIn, dropIn+".away"))
	without := outcome()
	must(t, os.Rename(dropIn+".away", dropIn))
	t.Logf("with and without: %s", with)
	if with != without {
		t.Errorf("with buildwatch: %s\nwithout: %s", with, without)
	}
}

// TestRootlessBuild: a user's build, by the one daemon; in the user's slice, and
// the scope stays root's.
func TestRootlessBuild(t *testing.T) {
	leakCheck(t)
	dir := contextDir(t, "RUN echo done > /done; echo step one\n"+family)
	sh(t, "chmod -R a+rX %s; chmod a+x %s %s", dir, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir)))
	client := exec.Command("runuser", "--login", "builder", "--command", "podman build --network=none --platform "+arch64+" "+dir)
	must(t, client.Start())
	t.Cleanup(func() {
		_ = client.Process.Kill()
		_ = client.Wait()
		sh(t, "runuser --login builder --command 'podman rm --all --force; buildah rm --all; podman rmi --all --force'; rm -rf /var/tmp/buildah*; pkill -u builder -x 'podman|catatonit' || true")
	})
	var id, cgroup string
	eventually(t, func() (string, bool) {
		for _, view := range listed(t) {
			if view.User.Name == "builder" && view.Processes >= familySize {
				id, cgroup = view.ID, view.Cgroup
			}
		}
		return fmt.Sprintf("listed: %+v", listed(t)), id != ""
	})
	if !strings.HasPrefix(cgroup, "/user.slice/user-1000.slice/buildwatch-") {
		t.Errorf("the scope is %s", cgroup)
	}
	if owner := sh(t, "stat -c '%%U' /sys/fs/cgroup%s /sys/fs/cgroup%s/payload", cgroup, cgroup); owner != "root\nbuilder" {
		t.Errorf("the scope and its d belong to %q", owner)
	}
	if out := sh(t, "runuser -u builder -- %s list -q", ctl); out != id {
		t.Errorf("the user sees %q, want %q", out, id)
	}
	if out, err := try("runuser -u builder -- sh -c 'echo 1 > /sys/fs/cgroup%s/cgroup.kill; echo $$ > /sys/fs/cgroup%s/cgroup.procs'", cgroup, cgroup); err == nil {
		t.Errorf("the user can write to the scope: %s", out)
	}
	sh(t, "pkill -KILL -u builder -x podman")
	eventually(t, func() (string, bool) {
		left := sh(t, "ps -o pid,args -u builder | grep [s]leep.100 || true")
		return left, left == ""
	})
}
