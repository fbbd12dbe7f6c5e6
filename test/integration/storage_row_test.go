//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// sizeOfStorage is in KiB.
func sizeOfStorage(t *testing.T) int {
	t.Helper()
	size, err := strconv.Atoi(strings.Fields(sh(t, "du --summarize --block-size=1K /var/lib/containers/storage"))[0])
	must(t, err)
	return size
}

// TestManyCancelsInARowDoNotLetStorageGrow: at any moment of the build, also while what the one
// before has left is removed. `make bench-storage` has 200 of them.
func TestManyCancelsInARowDoNotLetStorageGrow(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { root.tidy(t) })
	before := storageOf(t, root)
	dir := contextDir(t, family)
	size := 0
	const builds = 6
	for i := range builds {
		// With cache: layers that are committed stay, for the next build.
		b := startCommand(t, "podman", "build", "--layers", "--network=none", "--platform", arch64, dir)
		if i%2 == 0 {
			b.supervised(1)
		} else {
			time.Sleep(rand.N(time.Second))
		}
		must(t, b.cmd.Process.Kill())
		b.wait()
		if i == 0 {
			noNews(t, root, before)
			size = sizeOfStorage(t)
		}
	}
	noNews(t, root, before)
	// One cancelled build leaves 2 MiB for each of its working containers.
	if now := sizeOfStorage(t); now > size+1024 {
		t.Errorf("storage took %d KiB after the first cancel, and %d KiB after %d", size, now, builds)
	}
}

// helpersAtWork are the cgroups of the helpers that remove something now.
func helpersAtWork() []string {
	var all []string
	for _, parent := range []string{"system.slice", "user.slice/user-*.slice"} {
		found, _ := filepath.Glob("/sys/fs/cgroup/" + parent + "/buildwatch-reclaim-*.service")
		all = append(all, found...)
	}
	return all
}

// killPodmanOf kills the podman that a helper has started, and not the helper, and reports whether
// there was one.
func killPodmanOf(helper string) bool {
	killed := false
	procs, _ := os.ReadFile(filepath.Join(helper, "cgroup.procs"))
	for _, line := range strings.Fields(string(procs)) {
		comm, _ := os.ReadFile(filepath.Join("/proc", line, "comm"))
		if pid, err := strconv.Atoi(line); err == nil && strings.TrimSpace(string(comm)) == "podman" {
			killed = syscall.Kill(pid, syscall.SIGKILL) == nil || killed
		}
	}
	return killed
}

// TestReclaimKilledInItsMiddleBreaksNothing: the helper with its podman, podman alone, or the daemon,
// at any moment. What is left is removed all the same, later.
func TestReclaimKilledInItsMiddleBreaksNothing(t *testing.T) {
	for name, kill := range map[string]func(t *testing.T, helper string){
		"helper": func(_ *testing.T, helper string) { // it may have ended
			_ = os.WriteFile(filepath.Join(helper, "cgroup.kill"), []byte("1"), 0)
		},
		"podman": func(t *testing.T, helper string) {
			eventually(t, func() (string, bool) { // or the helper has ended
				time.Sleep(rand.N(30 * time.Millisecond))
				_, err := os.Stat(helper)
				return "no podman runs in " + helper, killPodmanOf(helper) || err != nil
			})
		},
		"daemon": func(t *testing.T, _ string) {
			sh(t, "systemctl kill --kill-whom=main --signal=KILL buildwatchd.service")
			// What a build makes while no daemon looks stays, unless a step uses it: the next one waits.
			startDaemon(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			t.Cleanup(func() { root.tidy(t) })
			before := storageOf(t, root)
			for range 2 {
				b, _ := startAs(t, root, "build")
				must(t, b.cmd.Process.Kill())
				b.wait()
				eventually(t, func() (string, bool) {
					helpers := helpersAtWork()
					if len(helpers) == 0 {
						return "no helper runs", len(storageOf(t, root)) == len(before) // it was too fast
					}
					time.Sleep(rand.N(100 * time.Millisecond))
					kill(t, helpers[0])
					return "", true
				})
			}
			startDaemon(t)
			noNews(t, root, before)
			if out, err := try("podman system check 2>&1"); err != nil && !strings.Contains(out, "unrecognized command") {
				t.Errorf("podman system check: %v\n%s", err, out)
			}
			startBuild(t, "RUN true\n").succeed()
		})
	}
}

// TestWhatWasReclaimedIsInTheHistoryOfItsBuild.
func TestWhatWasReclaimedIsInTheHistoryOfItsBuild(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { builder.tidy(t) })
	before := storageOf(t, builder)
	b, _ := startAs(t, builder, "build")
	id := ""
	eventually(t, func() (string, bool) {
		builds := listed(t)
		if len(builds) == 1 {
			id = builds[0].ID
		}
		return fmt.Sprint(builds), id != ""
	})
	cancelAll(t, b)
	noNews(t, builder, before)
	var ended []api.BuildDetail
	eventually(t, func() (string, bool) {
		out, err := try("%s show --json %s", ctl, id)
		if err == nil {
			err = errors.Join(json.Unmarshal([]byte(out), &ended))
		}
		return fmt.Sprint(err, out), err == nil && len(ended) == 1 && ended[0].End != nil && ended[0].End.Reclaimed != nil && ended[0].End.Reclaimed.Left == 0
	})
	if r := *ended[0].End.Reclaimed; r.Removed < 2 || r.Bytes == 0 || r.Duration <= 0 || r.Why != "" {
		t.Errorf("%+v", r)
	}
	if out := sh(t, "%s show %s", ctl, id); !strings.Contains(out, "Storage: ") {
		t.Error(out)
	}
}

// TestRootPrunesForAUser what a build of that user's has left while there was no daemon.
func TestRootPrunesForAUser(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { builder.tidy(t) })
	before := storageOf(t, builder)
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service")
	b, _ := startAs(t, builder, "build")
	cancelAll(t, b)
	sh(t, "pkill -KILL -u %s -x podman; pkill -KILL -f '^([^ ]*qemu[^ ]*|/bin/sh) .*test -e /src/go' || true", builder)
	if now := storageOf(t, builder); len(now) <= len(before) {
		t.Fatalf("the build has left nothing: %q", now)
	}
	if out := sh(t, "%s prune --all-users --dry-run 2>&1", ctl); !strings.Contains(out, string(builder)) {
		t.Errorf("of all users:\n%s", out)
	}
	eventually(t, func() (string, bool) {
		out, _ := try("%s prune --force --user %s 2>&1", ctl, builder)
		now := storageOf(t, builder)
		return out + strings.Join(now, "\n"), len(now) == len(before)
	})
}

// TestStorageOfEveryDriverIsReclaimed: vfs, and overlay by fuse-overlayfs, whose helper ends too; with
// chroot isolation as well; and containers that the next boot forgets.
func TestStorageOfEveryDriverIsReclaimed(t *testing.T) {
	const fuse = "[storage.options.overlay]\nmount_program = \"/usr/bin/fuse-overlayfs\"\n"
	const elsewhere = "graphroot = \"/home/builder/driver\"\nrunroot = \"/run/user/1000/driver\"\n"
	rows := map[string]struct{ driver, options, flags string }{
		"vfs":                    {"vfs", elsewhere, "build"},
		"vfs, chroot":            {"vfs", elsewhere, "build --isolation chroot"},
		"fuse-overlayfs":         {"overlay", elsewhere + fuse, "build"},
		"fuse-overlayfs, chroot": {"overlay", elsewhere + fuse, "build --isolation chroot"},
		"transient store":        {"overlay", "transient_store = true\n", "build"},
	}
	if _, err := builder.try("podman --transient-store version"); err != nil { // 4.3 does not know it
		delete(rows, "transient store")
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			const conf = "/home/builder/.config/containers/storage.conf"
			sh(t, "install -d -o builder -g builder /home/builder/.config /home/builder/.config/containers")
			write(t, conf, fmt.Sprintf("[storage]\ndriver = %q\n%s", row.driver, row.options))
			t.Cleanup(func() {
				builder.tidy(t)
				// podman mounts the directory of the driver on itself, and leaves it so.
				builder.sh(t, "podman unshare sh -c 'umount --lazy /home/builder/driver/overlay 2>/dev/null; rm -rf /home/builder/driver /run/user/1000/driver'")
				sh(t, "pkill -u builder -x catatonit; pkill -u builder -x fuse-overlayfs; rm -rf %s", conf)
			})
			if driver := builder.sh(t, "podman info --format '{{.Store.GraphDriverName}}'"); driver != row.driver {
				t.Fatalf("the driver is %q", driver)
			}
			before := storageOf(t, builder)
			b, _ := startAs(t, builder, row.flags)
			if now := storageOf(t, builder); len(now) <= len(before) {
				t.Fatalf("a build has nothing in storage: %q", now)
			}
			cancelAll(t, b)
			noNews(t, builder, before)
			eventually(t, func() (string, bool) {
				out, _ := try("pgrep -a -u builder -x fuse-overlayfs")
				return out, out == ""
			})
		})
	}
}

// TestHelpersOfRootsStorageEndWithTheBuild: of a storage that flags name, or a configuration of
// the caller's, which the daemon does not read.
func TestHelpersOfRootsStorageEndWithTheBuild(t *testing.T) {
	const helper = "/usr/bin/fuse-overlayfs"
	stages := "RUN echo a > /a\nFROM scratch\nCOPY --chmod=755 busybox /bin/busybox\nCOPY --chmod=755 busybox /bin/sh\nCOPY --from=0 /a /a\nRUN /bin/busybox sleep 1717\n"
	for name, line := range map[string]string{
		"flags":                         "podman --root %[1]s/graph --runroot %[1]s/run --storage-opt overlay.mount_program=" + helper + " build",
		"a configuration":               "env CONTAINERS_STORAGE_CONF=%s/storage.conf podman build",
		"a configuration, of buildah's": "env CONTAINERS_STORAGE_CONF=%s/storage.conf buildah build --isolation oci",
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			dir, err := os.MkdirTemp("/var/lib", "helpers-")
			must(t, err)
			t.Cleanup(func() { sh(t, "umount --lazy %s/graph/overlay 2>/dev/null; rm -rf %[1]s /var/tmp/buildah*", dir) })
			write(t, dir+"/storage.conf", fmt.Sprintf("[storage]\ndriver = \"overlay\"\ngraphroot = \"%[1]s/graph\"\nrunroot = \"%[1]s/run\"\n[storage.options.overlay]\nmount_program = %q\n", dir, helper))
			p := startProgram(t, root, fmt.Sprintf(line, dir)+" --no-cache --network=none "+native(t, stages), false)
			serving := func() string {
				out, _ := try("pgrep -a -x fuse-overlayfs")
				return out
			}
			within(t, 4*long, func() (string, bool) {
				_, err := try("pgrep -f '[s]leep 1717$'")
				return p.said() + serving(), err == nil && serving() != ""
			})
			p.signal(t, syscall.SIGKILL)
			p.wait(t)
			eventually(t, func() (string, bool) { return "left: " + serving(), serving() == "" })
			nothingListed(t)
		})
	}
}
