//go:build integration

package integration

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// The attacks of docs/security.md that need a machine. The number is the attack's.

// underAttack starts what every attack is tried against: another user's build.
// The function that it returns checks that the build was not harmed, that the
// daemon answers, and that its memory has not grown; leakCheck does the rest.
func underAttack(t *testing.T) (unharmed func()) {
	t.Helper()
	leakCheck(t)
	b := startBuild(t, ticks+"RUN true\n", "--tag", "victim")
	view := b.supervised(1)
	daemon := sh(t, "systemctl show -P MainPID buildwatchd.service")
	before := resident(t, daemon)
	return func() {
		t.Helper()
		started := time.Now()
		builds := listed(t)
		if took := time.Since(started); took > soon(time.Second) {
			t.Errorf("list took %v", took)
		}
		if len(b.done) == 0 && (len(builds) == 0 || builds[0].ID != view.ID) {
			t.Errorf("the build %s is not listed: %+v", view.ID, builds)
		}
		if sh(t, "systemctl show -P MainPID buildwatchd.service") == daemon {
			if after := resident(t, daemon); after > before+32<<20+len(builds)*48<<10 {
				t.Errorf("the daemon had %d MiB, and has %d", before>>20, after>>20)
			}
		}
		b.succeed()
		if got := fileInImage(t, "victim", "ticks"); got != allTicks {
			t.Errorf("the image has the ticks %q", got)
		}
	}
}

// resident returns how much memory a process has, in bytes.
func resident(t *testing.T, pid string) int {
	t.Helper()
	kib, err := strconv.Atoi(sh(t, "awk '/^VmRSS/ {print $2}' /proc/%s/status", pid))
	must(t, err)
	return kib << 10
}

// floodRequests is how many of each kind each user makes at each socket; 170000 are a million
// requests, and take minutes.
var floodRequests = flag.Int("flood.requests", 3000, "how many requests each user of TestAttack03ThreeUsersFloodTheSockets makes at each socket")

// TestAttack03ThreeUsersFloodTheSockets: connections that say nothing, then requests, at each
// socket. A fourth user's steps are placed meanwhile, and root's.
func TestAttack03ThreeUsersFloodTheSockets(t *testing.T) {
	unharmed := underAttack(t)
	t.Cleanup(func() { core.tidy(t) })
	attackers := []uint32{uint32(userIDs[builder]), 30001, 30002}
	done := make(chan string, 2*len(attackers))
	for _, socket := range []string{wire.Socket, api.ControlSocket} {
		for _, uid := range attackers {
			go func() { done <- asUID(t, uid, "flood", socket, fmt.Sprint(*floodRequests)) }()
		}
	}
	context := sharedContext(t, strings.Repeat("RUN true\n", 5))
	for first := true; first || len(done) < cap(done); first = false {
		for _, who := range []user{root, core} {
			placed := metric(t, "buildwatch_placements_total")
			who.sh(t, "podman build --layers=false --network=none --platform %s %s", arch64, context)
			if now := metric(t, "buildwatch_placements_total"); now == placed {
				t.Errorf("no step of %s's was placed during the flood", who)
			}
			who.sh(t, "%s list", ctl)
		}
	}
	for range cap(done) {
		t.Log(<-done)
	}
	unharmed()
}

// TestAttack08SocketPassedThroughSudo: whoever connected is who asks.
func TestAttack08SocketPassedThroughSudo(t *testing.T) {
	// sudo looks the host's name up; without an answer for longer than the daemon
	// waits for a request.
	sh(t, `grep -q "$(hostname)" /etc/hosts || echo "127.0.1.1 $(hostname)" >>/etc/hosts`)
	unharmed := underAttack(t)
	out := core.as(t, "passed on")
	if !strings.HasPrefix(out, "0\n") || !strings.Contains(out, "200 OK") {
		t.Fatalf("root's process got no answer: %s", out)
	}
	for _, view := range listed(t) {
		if strings.Contains(out, view.ID) {
			t.Errorf("a user has seen root's build %s: %s", view.ID, out)
		}
	}
	unharmed()
}

// TestAttack09DaemonThatCrashesAgainAndAgain: neither unit ends up failed.
func TestAttack09DaemonThatCrashesAgainAndAgain(t *testing.T) {
	unharmed := underAttack(t)
	for range 100 {
		_, _ = try("systemctl kill --signal=KILL buildwatchd.service")
		time.Sleep(15 * time.Millisecond)
	}
	eventually(t, func() (string, bool) {
		out, err := try(ctl + " list -q")
		return out, err == nil
	})
	for _, unit := range []string{"buildwatchd.service", "buildwatchd.socket"} {
		if out, _ := try("systemctl is-failed %s", unit); out == "failed" {
			t.Errorf("%s is %s", unit, out)
		}
	}
	unharmed()
}

// TestAttack15And16BundlesThatAreTraps: whatever lies in the place of the bundle
// or of its configuration, the runtime gets it as it is, at once, and nothing is
// written.
func TestAttack15And16BundlesThatAreTraps(t *testing.T) {
	unharmed := underAttack(t)
	dir := t.TempDir()
	bundle := func(name string) string {
		path := filepath.Join(dir, name)
		must(t, os.Mkdir(path, 0o755))
		return path
	}
	big := bytes.Repeat([]byte(" "), 50<<20)
	copy(big, `{"linux":{`)
	must(t, os.WriteFile(filepath.Join(bundle("50 MB"), "config.json"), big, 0o644))
	must(t, syscall.Mkfifo(filepath.Join(bundle("a FIFO"), "config.json"), 0o644))
	must(t, syscall.Mknod(filepath.Join(bundle("a device"), "config.json"), syscall.S_IFCHR|0o644, 1<<8|5)) // /dev/zero
	must(t, os.Symlink("/etc/shadow", filepath.Join(bundle("a link"), "config.json")))
	must(t, os.WriteFile(filepath.Join(bundle("valid"), "config.json"), []byte(`{"linux":{}}`), 0o644))
	must(t, os.Symlink(filepath.Join(dir, "valid"), filepath.Join(dir, "a linked bundle")))
	must(t, os.Link(filepath.Join(dir, "valid", "config.json"), filepath.Join(bundle("a hard link"), "config.json")))
	for name, text := range map[string]string{
		"truncated": `{"linux":{`, "no JSON": "\x7fELF", "empty": "", "without linux": `{"process":{}}`,
		"linux is no object": `{"linux":[]}`, "a list": `[]`, "deep": strings.Repeat("[", 100_000),
	} {
		must(t, os.WriteFile(filepath.Join(bundle(name), "config.json"), []byte(text), 0o644))
	}
	passwd := sh(t, "sha256sum /etc/shadow /etc/passwd")
	// The runtime that the other user's build does not use.
	probed := "crun"
	if sh(t, "podman info --format '{{.Host.OCIRuntime.Name}}'") == probed {
		probed = "runc"
	}
	withProbe(t, "/usr/bin/"+probed)
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		args := "--systemd-cgroup create --bundle " + quoted(path) + " --pid-file /p buildah-buildah1"
		started := time.Now()
		said, _ := try("%s/%s %s", libexec, probed, args)
		took := time.Since(started)
		if !strings.Contains(said, "args: ") || !strings.Contains(said, "--systemd-cgroup create --bundle "+path+" ") {
			t.Errorf("%s: the runtime was not called as it was to be: %s", entry.Name(), said)
		}
		if took > soon(1500*time.Millisecond) {
			t.Errorf("%s: the runtime was called after %v", entry.Name(), took)
		}
		if files, _ := os.ReadDir(path); len(files) > 1 {
			t.Errorf("%s: something was written: %v", entry.Name(), files)
		}
	}
	if now := sh(t, "sha256sum /etc/shadow /etc/passwd"); now != passwd {
		t.Errorf("changed: %s", now)
	}
	for _, id := range []string{"buildah-buildah/../../x", "buildah-buildah..", "buildah-buildah" + strings.Repeat("9", 300), "buildah-buildah1\nx", "buildah-buildah\x1b[2J"} {
		said, _ := try("%s/%s create --bundle %s/valid %s", libexec, probed, dir, quoted(id))
		if !strings.Contains(said, "args: ") || !strings.Contains(said, id) {
			t.Errorf("container ID %q: %s", id, said)
		}
	}
	if config, err := os.ReadFile(filepath.Join(dir, "valid", "config.json")); err != nil || string(config) != `{"linux":{}}` {
		t.Errorf("config.json is now %s, %v", config, err)
	}
	unharmed()
}

// TestAttack24ForkBombThatIgnoresSignals is gone within three seconds.
func TestAttack24ForkBombThatIgnoresSignals(t *testing.T) {
	unharmed := underAttack(t)
	mayLeaveStorage(t)
	b := startBuild(t, `RUN trap '' TERM INT HUP; f() { while true; do /bin/busybox sleep 1; done; }; i=0; while [ $i -lt 100 ]; do f & i=$((i+1)); done; wait`+"\n")
	b.supervised(150)
	started := time.Now()
	_ = b.cmd.Process.Kill()
	eventually(t, func() (string, bool) {
		out, err := try("pgrep --full --list-full '[i] -lt 100|busybox [s]leep 1$'")
		return "left:\n" + out, err != nil
	})
	took := time.Since(started)
	t.Logf("gone after %v", took)
	if took > soon(3*time.Second) {
		t.Errorf("gone after %v", took)
	}
	unharmed()
}

// TestAttack28ForgedSignalsOnTheBus: nobody says that a job was done or a unit
// removed.
func TestAttack28ForgedSignalsOnTheBus(t *testing.T) {
	unharmed := underAttack(t)
	scope := listed(t)[0].Scope
	for range 20 {
		sh(t, "runuser -u nobody -- busctl emit /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager UnitRemoved so %s /org/freedesktop/systemd1/unit/x", scope)
		sh(t, "runuser -u nobody -- busctl emit /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager JobRemoved uoss 1 /org/freedesktop/systemd1/job/1 %s failed", scope)
	}
	startBuild(t, "RUN true\nRUN true\n", "--layers=false").succeed()
	unharmed()
}

// TestAttack39FakeRuntimeInThePath is not called.
func TestAttack39FakeRuntimeInThePath(t *testing.T) {
	unharmed := underAttack(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "crun"), "#!/bin/sh\necho fake\n")
	out := sh(t, "cd %s && PATH=%s:.:$PATH %s/crun --version", dir, dir, libexec)
	if strings.Contains(out, "fake") || !strings.HasPrefix(out, "crun version") {
		t.Errorf("called was %q", out)
	}
	if out := sh(t, "find %s %s %s -perm /022 -not -type l", libexec, ctl, "/usr/local/bin/buildwatchd"); out != "" {
		t.Errorf("others can write to %s", out)
	}
	unharmed()
}

// TestAttack25ContainerInABuildsCgroup: podman run with a parent whose name is
// that of a build's container.
func TestAttack25ContainerInABuildsCgroup(t *testing.T) {
	unharmed := underAttack(t)
	startBuild(t, "RUN true\n", "--tag", "sleeper").succeed()
	defer sh(t, "podman rmi --force sleeper 2>/dev/null || true")
	id := sh(t, "podman --cgroup-manager=cgroupfs run --detach --pids-limit=0 --network=none --platform %s --cgroup-parent /buildah-buildah7 sleeper /bin/busybox sleep 1000 2>/dev/null", arch64)
	defer sh(t, "podman rm --force --time 0 %s; rmdir /sys/fs/cgroup/buildah-buildah7", id)
	pid, err := strconv.Atoi(sh(t, "podman inspect --format '{{.State.Pid}}' %s", id))
	must(t, err)
	if cgroup := sh(t, "cat /proc/%d/cgroup", pid); !strings.Contains(cgroup, "/buildah-buildah7/") {
		t.Fatalf("the container is in %s", cgroup)
	}
	b := startBuild(t, family)
	sh(t, "%s stop %s", ctl, b.supervised(familySize).ID)
	b.wait()
	sh(t, "systemctl restart buildwatchd.service")
	startDaemon(t)
	if !alive(pid) || sh(t, "podman inspect --format '{{.State.Status}}' %s", id) != "running" {
		t.Error("the container was ended")
	}
	for _, view := range listed(t) {
		if fmt.Sprint(view.User.Name) != "root" || view.Processes > 20 {
			t.Errorf("listed: %+v", view)
		}
	}
	unharmed()
}
