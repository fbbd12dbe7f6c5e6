//go:build integration

package integration

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// TestProgramWithBuildahBuiltInIsNoticedAtOnce, whoever runs it, whose it is and wherever it
// lies: not by the next look in half a minute, when its owner may have been killed long since.
func TestProgramWithBuildahBuiltInIsNoticedAtOnce(t *testing.T) {
	for name, row := range map[string]struct {
		who   user
		below string
		flags string
	}{
		"a user's own, in the home": {builder, "/home/builder", "--isolation chroot"},
		"of another program's":      {builder, "/opt", "--pid host --runtime " + realRuntime(t)},
		"run by root":               {root, "/tmp", "--isolation chroot"},
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			t.Cleanup(func() { row.who.tidy(t) })
			dir, err := os.MkdirTemp(row.below, "acme-")
			must(t, err)
			t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
			factory := dir + "/imagefactory"
			sh(t, "chmod 755 %s; install -m 755 /usr/bin/buildah %s", dir, factory)
			if row.below != "/opt" {
				sh(t, "chown -R %s: %s", row.who, dir)
			}
			context := sharedContext(t, escapers)
			args := append([]string{factory, "build", "--no-cache", "--platform", arch64}, strings.Fields(row.flags)...)
			run := command(row.who, append(args, context)...)
			time.Sleep(1100 * time.Millisecond) // what is heard in the second after a podman of the test's is taken for that one's
			must(t, run.Start())
			t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
			emulated(t, escapersSize)
			time.Sleep(3 * time.Second)
			var held []*proc.Handle
			for _, pid := range strings.Fields(sh(t, "ls -l /proc/[0-9]*/exe 2>/dev/null | grep qemu- | sed 's:.*/proc/\\([0-9]*\\)/exe .*:\\1:'")) {
				n, err := strconv.Atoi(pid)
				must(t, err)
				held = append(held, holdPID(t, n))
			}
			sh(t, "kill -KILL $(pgrep -u %s -f '^%s')", row.who, factory)
			allGone(t, held)
			nothingListed(t)
		})
	}
}
