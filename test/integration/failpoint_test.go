//go:build integration

package integration

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/failpoint"
)

// allFailpoints tries everything at each point, not one thing.
var allFailpoints = flag.Bool("failpoints.all", false, "kill, refuse and wait at each failpoint")

// failingDaemon is a daemon that is built with the tag failpoints.
const failingDaemon, failpointFile = "/src/build/failpoints/buildwatchd", "/run/buildwatch-failpoint"

// TestBothLawsHoldWhereverTheDaemonDies, or what it does is refused, or takes too long: at
// each moment between two of its steps that have an effect. The build that somebody wants
// ends well, with all of its content; and of the one whose owner is killed nothing is left.
// The first to come to the point is the one, and then the other.
func TestBothLawsHoldWhereverTheDaemonDies(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { builder.tidy(t) })
	replaceDaemon(t)
	actions := []string{"kill", "refuse", "1500ms"}
	for i, point := range failpoint.Points() {
		for j, action := range actions {
			if (i+j)%len(actions) != 0 && !*allFailpoints {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", point, action), func(t *testing.T) { failAt(t, point, action, (i+j)%2 == 0) })
		}
	}
}

// replaceDaemon has the other daemon run for one test.
func replaceDaemon(t *testing.T) {
	t.Helper()
	const installed = "/usr/local/bin/buildwatchd"
	swap := func(from string) {
		sh(t, "rm -f %s; cp %s %s.new && mv %[3]s.new %[3]s && systemctl restart buildwatchd.service", failpointFile, from, installed)
		startDaemon(t)
	}
	sh(t, "cp %s %[1]s.release", installed)
	t.Cleanup(func() {
		swap(installed + ".release")
		must(t, os.Remove(installed+".release"))
	})
	swap(failingDaemon)
}

// failAt arms one point, and takes a wanted and an unwanted build past it.
func failAt(t *testing.T, point failpoint.Point, action string, wantedFirst bool) {
	before := len(journal(t, "buildwatchd"))
	pid := sh(t, "systemctl show -P MainPID buildwatchd.service")
	write(t, failpointFile, fmt.Sprintf("%s %s %s\n", pid, point, action))
	defer os.Remove(failpointFile)
	wanted := func() *build {
		return startBuild(t, "RUN echo one > /content; /bin/busybox sleep 2; echo two >> /content\nRUN echo three >> /content\n", "--tag", "wanted")
	}
	var kept *build
	if wantedFirst {
		kept = wanted()
	}
	doomed := startRootless(t, builder, "RUN /bin/busybox sleep 1717\n", "--network=none")
	step := func() string {
		out, _ := try("pgrep -f '[s]leep 1717$'")
		return out
	}
	eventually(t, func() (string, bool) { return "the step does not run", step() != "" })
	if !wantedFirst {
		kept = wanted()
	}
	must(t, unix.Kill(doomed.pid, unix.SIGKILL))
	doomed.wait(t)
	eventually(t, func() (string, bool) {
		return "of the build whose owner was killed there is left: " + step() + "\n" + sh(t, ctl+" list"), step() == ""
	})
	kept.succeed()
	if got := fileInImage(t, "wanted", "content"); got != "one\ntwo\nthree\n" {
		t.Errorf("the wanted build's image has %q", got)
	}
	if point == failpoint.Reclaim {
		eventually(t, func() (string, bool) {
			said := strings.Join(journal(t, "buildwatchd")[before:], "\n")
			return "nobody came to the point", strings.Contains(said, "failpoint ")
		})
	}
	if said := strings.Join(journal(t, "buildwatchd")[before:], "\n"); !strings.Contains(said, fmt.Sprintf("failpoint %s: %s", point, action)) {
		t.Errorf("nobody came to the point:\n%s", said)
	}
	startDaemon(t)
}
