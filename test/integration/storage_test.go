//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// waits is a build of which three instructions make a working container each, and the last
// one waits until a file appears.
const waits = "FROM base\nRUN echo first >/first\nRUN echo >/src/started; while ! /bin/busybox test -e /src/go; do /bin/busybox sleep 0.2; done; echo second >/second\n"

// storageOf lists what builds of the user's have in storage and beside it, and what the OCI runtimes know of them.
func storageOf(t *testing.T, u user) []string {
	t.Helper()
	mounts := "cat /proc/self/mountinfo"
	if u != root {
		mounts = "podman unshare " + mounts
	}
	all := u.sh(t, "podman ps --all --external --no-trunc --format '{{.ID}}'; %s | grep -o '/[^ ]*/storage/overlay/[^ ]*/merged ' || true", mounts)
	all += "\n" + sh(t, "find /var/tmp /dev/shm /run/crun /run/runc /run/user/%d/{crun,runc} -maxdepth 1 -user %s '(' -name 'buildah*' -o -name 'libpod_builder*' -o -name '*storage[0-9]*' ')' 2>/dev/null || true", userIDs[u], u)
	return strings.Fields(all)
}

// noNews waits until the user's storage holds what it held before, and nothing else. What a runtime knew of an earlier
// test's dead build may have gone meanwhile.
func noNews(t *testing.T, u user, before []string) {
	t.Helper()
	eventually(t, func() (string, bool) {
		now, want := storageOf(t, u), slices.Clone(before)
		want = slices.DeleteFunc(want, func(what string) bool { return strings.HasPrefix(what, "/run/") && !slices.Contains(now, what) })
		slices.Sort(now)
		slices.Sort(want)
		return fmt.Sprintf("before:\n%s\nnow:\n%s\n%s", strings.Join(want, "\n"), strings.Join(now, "\n"),
			sh(t, "journalctl -q --no-pager -o cat -n 30 -u buildwatchd")), slices.Equal(now, want)
	})
}

// startAs starts a build of the user's that waits in its last step.
func startAs(t *testing.T, u user, flags string) (b *build, dir string) {
	t.Helper()
	dir = sharedContext(t, waits)
	sh(t, "mkdir -m 0777 %s/src", dir)
	network := "none"
	if strings.Contains(flags, "chroot") {
		network = "host" // podman takes no other
	}
	cmd := u.command(fmt.Sprintf("podman %s --no-cache --network=%s --platform %s --volume %s/src:/src %s", flags, network, arch64, dir, dir))
	b = startCommand(t, cmd.Args[0], cmd.Args[1:]...)
	eventually(t, func() (string, bool) {
		_, err := os.Stat(filepath.Join(dir, "src", "started"))
		return "the last step does not run", err == nil
	})
	return b, dir
}

// TestCancelledBuildLeavesNothingInStorage while the same is built beside it, somebody keeps a
// container of `buildah from`, and what `--rm=false` has left.
func TestCancelledBuildLeavesNothingInStorage(t *testing.T) {
	for _, u := range []user{root, builder} {
		t.Run(string(u), func(t *testing.T) {
			leakCheck(t)
			t.Cleanup(func() { u.tidy(t) })
			u.sh(t, "buildah from scratch")
			kept, dir := startAs(t, u, "build --rm=false --force-rm=false")
			sh(t, "touch %s/src/go", dir)
			kept.succeed()
			before := storageOf(t, u)

			other, dir := startAs(t, u, "build --tag other")
			with := storageOf(t, u)
			cancelled, _ := startAs(t, u, "build")
			cancelAll(t, cancelled)
			eventually(t, func() (string, bool) { // no step of it is left; of what else it has made it can't be told while the other lives
				now := storageOf(t, u)
				bundles := slices.DeleteFunc(slices.Clone(now), func(line string) bool { return !strings.HasPrefix(line, "/var/tmp/") })
				return strings.Join(now, "\n"), len(bundles) == 1
			})
			for _, one := range with {
				if !slices.Contains(storageOf(t, u), one) {
					t.Errorf("%s of the other build, or of nobody's, is gone", one)
				}
			}
			sh(t, "touch %s/src/go", dir)
			other.succeed()
			if got := u.unshared(t, "podman", "d=$(podman image mount other); cat $d/first $d/second; podman image unmount other >/dev/null"); !strings.Contains(got, "first") || !strings.Contains(got, "second") {
				t.Errorf("the other build has made %q", got)
			}
			noNews(t, u, before)
		})
	}
}

// cancelAll sends Ctrl+C's signal to the processes of a build's command, as a terminal does, and
// SIGKILL to what is left.
func cancelAll(t *testing.T, b *build) {
	t.Helper()
	must(t, syscall.Kill(b.pid(), syscall.SIGINT))
	sh(t, "pkill -INT -P %[1]d || true; sleep 0.3; pkill -KILL -P %[1]d || true; kill -KILL %[1]d 2>/dev/null || true", b.pid())
	b.wait()
}

// TestKilledServiceLeavesNothingInStorage: nor the context that it was sent.
func TestKilledServiceLeavesNothingInStorage(t *testing.T) {
	for _, u := range []user{root, builder} {
		t.Run(string(u), func(t *testing.T) {
			leakCheck(t)
			t.Cleanup(func() { u.tidy(t) })
			u.sh(t, "%s start podman.socket", strings.Replace(u.systemctl(), "--machine="+string(u)+"@", "", 1))
			t.Cleanup(func() {
				u.sh(t, "systemctl %s stop podman.socket podman.service", map[bool]string{false: "--user"}[u == root])
			})
			before := storageOf(t, u)
			cmd := u.command(fmt.Sprintf("podman --url unix://%s build --no-cache --platform %s %s", u.socket(), arch64,
				sharedContext(t, "FROM base\nRUN echo first >/first\nRUN /bin/busybox sleep 1001\n")))
			b := startCommand(t, cmd.Args[0], cmd.Args[1:]...)
			eventually(t, func() (string, bool) {
				out, err := try("pgrep -f 'busybox sleep 1001$'")
				return "the last step does not run", err == nil && out != ""
			})
			if requests, _ := filepath.Glob("/var/tmp/libpod_builder*"); len(requests) != 1 {
				t.Fatalf("requests: %q", requests)
			}
			sh(t, "pkill -KILL -u %s -f 'podman .*system service'", u)
			b.wait()
			noNews(t, u, before)
		})
	}
}

// TestStorageIsReclaimedAfterTheDaemonWasAway: the build ended meanwhile.
func TestStorageIsReclaimedAfterTheDaemonWasAway(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { root.tidy(t) })
	before := storageOf(t, root)
	b, _ := startAs(t, root, "build")
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	must(t, b.cmd.Process.Kill())
	b.wait()
	startDaemon(t)
	noNews(t, root, before)
}

// TestNextBuildStartsFromTheSameCache: what the cancelled build has committed stays.
func TestNextBuildStartsFromTheSameCache(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { root.tidy(t) })
	before := storageOf(t, root)
	b, dir := startAs(t, root, "build --layers")
	// Somebody's own, made while the build lived, and with nobody else there.
	own := sh(t, "buildah from scratch")
	before = append(before, sh(t, "podman ps --all --external --no-trunc --format '{{.ID}} {{.Names}}' | sed -n 's/ %s$//p'", own))
	cancelAll(t, b)
	noNews(t, root, before)
	sh(t, "touch %s/src/go", dir)
	out := sh(t, "podman build --layers --network=none --platform %s --volume %s/src:/src %s 2>&1", arch64, dir, dir)
	if strings.Count(out, "Using cache") < 3 {
		t.Errorf("built again from:\n%s", out)
	}
	noNews(t, root, before)
}

// TestStorageIsOnlyReportedWhereThatIsWanted: `[storage] reclaim = "report"`.
func TestStorageIsOnlyReportedWhereThatIsWanted(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { root.tidy(t) })
	sh(t, "mkdir -p /etc/buildwatch/buildwatchd.toml.d; printf '[storage]\\nreclaim = \"report\"\\n' >/etc/buildwatch/buildwatchd.toml.d/storage.toml; systemctl reload buildwatchd.service")
	t.Cleanup(func() {
		sh(t, "rm /etc/buildwatch/buildwatchd.toml.d/storage.toml; systemctl reload buildwatchd.service")
	})
	b, _ := startAs(t, root, "build")
	with := storageOf(t, root)
	must(t, b.cmd.Process.Kill())
	b.wait()
	eventually(t, func() (string, bool) {
		out := sh(t, "journalctl -q --no-pager -o cat -n 20 -u buildwatchd")
		return out, strings.Contains(out, "that it has left in storage stay") && strings.Contains(out, "only told, as configured")
	})
	if now := storageOf(t, root); len(now) != len(with) {
		t.Errorf("before:\n%s\nnow:\n%s", strings.Join(with, "\n"), strings.Join(now, "\n"))
	}
}

// TestPruneRemovesWhatNobodySaw: builds ended while there was no daemon, and had no step that one
// has seen; a container of `buildah from`, and what a living build has, stay.
func TestPruneRemovesWhatNobodySaw(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { root.tidy(t) })
	sh(t, "buildah from scratch")
	before := storageOf(t, root)
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	b, _ := startAs(t, root, "build")
	must(t, b.cmd.Process.Kill())
	b.wait()
	sh(t, "pkill -KILL -f '^([^ ]*qemu[^ ]*|/bin/sh) .*test -e /src/go' || true")
	if now := storageOf(t, root); len(now) <= len(before) {
		t.Fatalf("the build has left nothing: %q", now)
	}
	if out, err := try(ctl + " prune </dev/null"); err == nil || !strings.Contains(out, "no terminal") {
		t.Errorf("without a terminal: %v\n%s", err, out)
	}
	if out := sh(t, ctl+" prune --dry-run --filter until=1h 2>&1"); !strings.Contains(out, "nothing") {
		t.Errorf("older than an hour:\n%s", out)
	}
	eventually(t, func() (string, bool) { // its step's last processes may take their time
		out := sh(t, ctl+" prune --force 2>&1")
		now := storageOf(t, root)
		return out + strings.Join(now, "\n"), len(now) == len(before)
	})
	noNews(t, root, before)
}
