//go:build integration

package integration

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/buildwatch/buildwatch/internal/failpoint"
)

// allFailpoints tries everything at each point, not one thing.
var allFailpoints = flag.Bool("failpoints.all", false, "kill, refuse and wait at each failpoint, as both users")

// failingDaemon is a daemon that is built with the tag failpoints.
const failingDaemon, failpointFile = "/src/build/failpoints/buildwatchd", "/run/buildwatch-failpoint"

// TestBothLawsHoldWhereverTheDaemonDies, or what it does is refused, or takes too long: at
// each moment between two of its steps that have an effect. The build that somebody wants
// ends well, with all of its content; and of the one whose owner is killed nothing is left.
func TestBothLawsHoldWhereverTheDaemonDies(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { builder.tidy(t) })
	replaceDaemon(t)
	points, actions := failpoint.Points(), []string{"kill", "refuse", "1500ms"}
	for i, point := range points {
		for j, action := range actions {
			for k, wanted := range []user{builder, root} {
				// Of several suites each tries some of the points.
				chosen := (i+j)%len(actions) == 0 && (i+k)%2 == 0 && (part.Parts < 2 || i%part.Parts == part.Of-1)
				if !chosen && !*allFailpoints {
					continue
				}
				t.Run(fmt.Sprintf("%s %s, %s's build is wanted", point, action, wanted), func(t *testing.T) {
					failAt(t, point, action, wanted)
				})
			}
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

// failAt arms one point, and takes a wanted and an unwanted build past it: the user's first, for
// there are points that root's do not come to.
func failAt(t *testing.T, point failpoint.Point, action string, wanted user) {
	before := len(journal(t, "buildwatchd"))
	pid := sh(t, "systemctl show -P MainPID buildwatchd.service")
	write(t, failpointFile, fmt.Sprintf("%s %s %s\n", pid, point, action))
	defer os.Remove(failpointFile)
	start := func(who user, way, instructions string) *program {
		return startProgram(t, who, "podman "+way+" build --no-cache --network=none "+native(t, instructions), false)
	}
	way := ""
	if point == failpoint.Gathered { // what is placed is gathered already
		way = "--runtime " + realRuntime(t)
	}
	var kept, doomed *program
	starts := map[user]func(){
		wanted: func() {
			kept = start(wanted, "", "RUN echo one > /x; /bin/busybox sleep 2; echo two >> /x\nRUN /bin/busybox grep -q two /x\n")
		},
		otherThan(wanted): func() { doomed = start(otherThan(wanted), way, "RUN /bin/busybox sleep 1717\n") },
	}
	starts[builder]()
	starts[root]()
	step := func() string {
		out, _ := try("pgrep -f '[s]leep 1717$'")
		return out
	}
	within(t, 4*long, func() (string, bool) {
		list, err := try(ctl + " list --json")
		seen := err == nil && strings.Contains(list, fmt.Sprintf(`"pid": %d,`, doomed.pid))
		return "not seen at work: " + list + doomed.said(), seen && step() != ""
	})
	doomed.signal(t, syscall.SIGKILL)
	doomed.wait(t)
	eventually(t, func() (string, bool) {
		list, _ := try(ctl + " list")
		return "of the build whose owner was killed there is left: " + step() + "\n" + list, step() == ""
	})
	kept.wait(t)
	if code := kept.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the build that is wanted ends with %d:\n%s", code, kept.said())
	}
	eventually(t, func() (string, bool) {
		said := strings.Join(journal(t, "buildwatchd")[before:], "\n")
		return "nobody came to the point:\n" + said, strings.Contains(said, fmt.Sprintf("failpoint %s: %s", point, action))
	})
	startDaemonOnly(t)
}

func otherThan(who user) user {
	if who == root {
		return builder
	}
	return root
}
