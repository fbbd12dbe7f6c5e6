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

// TestRootlessProgramWithBuildahBuiltInIsNoticedAtOnce: not by the next look in half a
// minute, when its owner may have been killed long since.
func TestRootlessProgramWithBuildahBuiltInIsNoticedAtOnce(t *testing.T) {
	dir, err := os.MkdirTemp("/opt", "acme-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	factory := dir + "/imagefactory"
	sh(t, "chmod 755 %s; install -m 755 /usr/bin/buildah %s", dir, factory)
	for name, flags := range map[string]string{
		"chroot":          "--isolation chroot",
		"runtime by hand": "--pid host --runtime " + realRuntime(t),
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			t.Cleanup(func() { builder.tidy(t) })
			context := sharedContext(t, escapers)
			args := append([]string{factory, "build", "--no-cache", "--platform", arch64}, strings.Fields(flags)...)
			run := command(builder, append(args, context)...)
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
			sh(t, "kill -KILL $(pgrep -u %s -f '^%s')", builder, factory)
			allGone(t, held)
			nothingListed(t)
		})
	}
}
