//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChrootStepsOrphanInNamespacesOfItsOwnEndsWithItsBuild: one that has forked twice, and
// is in a user and a UTS namespace that it has made itself.
func TestChrootStepsOrphanInNamespacesOfItsOwnEndsWithItsBuild(t *testing.T) {
	// Where a step may not make them (bookworm), it is an orphan like any other.
	const orphan = `RUN (/bin/busybox setsid /bin/sh -c '/bin/busybox unshare -U -u true && exec /bin/busybox unshare -U -u /bin/busybox sleep 98765; exec /bin/busybox sleep 98765' &); /bin/busybox sleep 98764` + "\n"
	for _, who := range []user{root, builder} {
		t.Run(string(who), func(t *testing.T) {
			leakCheck(t)
			if who == root {
				mayLeaveStorage(t)
			} else {
				tidyRootless(t)
			}
			dir := sharedContext(t, orphan)
			// An emulated program has several threads, and can't make a user namespace.
			native, err := os.ReadFile(filepath.Join(fixtures, "amd64", "busybox"))
			must(t, err)
			write(t, filepath.Join(dir, "busybox"), string(native))
			run := command(who, "buildah", "build", "--isolation", "chroot", "--no-cache", dir)
			must(t, run.Start())
			defer func() {
				sh(t, "pkill -KILL -fx 'buildah build --isolation chroot .*' || true")
				_ = run.Process.Kill()
				_ = run.Wait()
			}()
			running := func() string { return sh(t, "pgrep -fx '/bin/busybox sleep 9876[45]' || true") }
			eventually(t, func() (string, bool) { return "the step runs: " + running(), len(strings.Fields(running())) == 2 })
			eventually(t, func() (string, bool) {
				builds := listed(t)
				return "nothing, or not all of it, is listed", len(builds) == 1 && builds[0].Processes >= 2
			})
			sh(t, "kill -KILL %d", listed(t)[0].Owner.PID)
			eventually(t, func() (string, bool) { return "left: " + running(), running() == "" })
			nothingListed(t)
		})
	}
}
