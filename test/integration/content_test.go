//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// ticks is a RUN step that takes four seconds and leaves a line for each half.
const ticks = "RUN for i in 1 2 3 4 5 6 7 8; do echo $i >> /ticks; /bin/busybox sleep 0.5; done\n"

const allTicks = "1\n2\n3\n4\n5\n6\n7\n8\n"

// TestContentIsWholeWhateverTheDaemonDoes: a build that somebody wants is never
// truncated, whether the daemon runs, is stopped, or ends in the middle of a step.
func TestContentIsWholeWhateverTheDaemonDoes(t *testing.T) {
	for _, test := range []struct {
		name           string
		before, during string
	}{
		{"running", "", ""},
		{"stopped before", "systemctl stop buildwatchd.socket buildwatchd.service", ""},
		{"stopped in the middle", "", "systemctl stop buildwatchd.socket buildwatchd.service"},
		{"killed in the middle", "", "systemctl kill --signal=KILL buildwatchd.service"},
		{"restarted in the middle", "", "systemctl restart buildwatchd.service"},
	} {
		t.Run(test.name, func(t *testing.T) {
			leakCheck(t)
			sh(t, "%s", test.before)
			b := startBuild(t, ticks+"RUN true\n", "--tag", "ticks")
			if test.during != "" {
				b.supervised(1)
				time.Sleep(time.Second) // the middle of the step
				sh(t, "%s", test.during)
			}
			b.succeed()
			if got := fileInImage(t, "ticks", "ticks"); got != allTicks {
				t.Errorf("the image has the ticks %q", got)
			}
		})
	}
}

// inScope matches the cgroup of a RUN container.
var inScope = regexp.MustCompile(`^/system\.slice/buildwatch-([a-z0-9]{8})\.scope/payload/run-buildah-buildah[0-9]+$`)

// containerCgroups watches for the cgroups of RUN containers, wherever a runtime
// makes them, until stop is closed.
func containerCgroups(t *testing.T, stop <-chan struct{}) (found func() []string) {
	t.Helper()
	seen := map[string]bool{}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			out, _ := exec.Command("find", "/sys/fs/cgroup", "-name", "*buildah-buildah*", "-type", "d").Output()
			for line := range strings.Lines(string(out)) {
				seen[strings.TrimPrefix(strings.TrimSpace(line), "/sys/fs/cgroup")] = true
			}
		}
	})
	return func() []string {
		done.Wait()
		var all []string
		for path := range seen {
			all = append(all, path)
		}
		slices.Sort(all)
		return all
	}
}

// TestFiftyStepsStayInOneBuild: between two steps nothing of the build runs, and
// still it keeps its ID, its scope and its place in the list.
func TestFiftyStepsStayInOneBuild(t *testing.T) {
	leakCheck(t)
	stop := make(chan struct{})
	cgroups := containerCgroups(t, stop)
	b := startBuild(t, strings.Repeat("RUN true\n", 50), "--layers=false")
	first := b.supervised(0)
	gaps := 0
	for len(b.done) == 0 {
		builds := listed(t)
		if len(builds) != 1 || builds[0].ID != first.ID {
			if len(b.done) == 0 && alive(b.pid()) {
				gaps++
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	b.succeed()
	if gaps > 0 {
		t.Errorf("the list did not show the build %d times", gaps)
	}
	for _, path := range cgroups() {
		if m := inScope.FindStringSubmatch(path); m == nil || m[1] != first.ID {
			t.Errorf("a container of build %s was in %s", first.ID, path)
		}
	}
	if len(cgroups()) == 0 {
		t.Error("no container was seen")
	}
}

// alive reports whether a process has not ended; one that nobody has waited for yet has.
func alive(pid int) bool {
	h, err := proc.Open(pid)
	if err != nil {
		return false
	}
	defer h.Close()
	return h.Alive()
}

// TestManyBuildsLeaveNoScope: one after another and four at once.
func TestManyBuildsLeaveNoScope(t *testing.T) {
	leakCheck(t)
	const builds, atOnce = 40, 4
	started := metric(t, `buildwatch_builds_started_total{mode="local"}`)
	tokens := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for range builds {
		tokens <- struct{}{}
		all.Go(func() {
			defer func() { <-tokens }()
			b := startBuild(t, strings.Repeat("RUN true\n", 3), "--layers=false")
			if code := b.wait(); code != 0 {
				t.Errorf("podman build exited with %d:\n%s", code, b.out.String())
			}
		})
	}
	all.Wait()
	var before, after int
	fmt.Sscan(started, &before)
	fmt.Sscan(metric(t, `buildwatch_builds_started_total{mode="local"}`), &after)
	if after-before != builds {
		t.Errorf("%d of %d builds were watched", after-before, builds)
	}
	eventually(t, func() (string, bool) {
		left := sh(t, "systemctl list-units --all --plain --no-legend '"+scopeGlob+"'; find /sys/fs/cgroup -name '"+scopeGlob+"'")
		return "left: " + left, left == ""
	})
}

// TestParallelStagesShareOneScope: --jobs 3 with three stages that run at once.
func TestParallelStagesShareOneScope(t *testing.T) {
	leakCheck(t)
	instructions := ""
	for _, stage := range []string{"one", "two", "three"} {
		instructions += "FROM base AS " + stage + "\nRUN for i in 1 2 3 4 5 6; do echo " + stage + " >> /" + stage + "; /bin/busybox sleep 0.5; done\n"
	}
	instructions += "FROM base\nCOPY --from=one /one /\nCOPY --from=two /two /\nCOPY --from=three /three /\n"
	stop := make(chan struct{})
	cgroups := containerCgroups(t, stop)
	b := startBuild(t, instructions, "--jobs", "3", "--tag", "parallel")
	together := 0
	var id string
	for len(b.done) == 0 {
		for _, view := range listed(t) {
			id = view.ID
			together = max(together, len(childCgroups(t, "/sys/fs/cgroup"+view.Cgroup+"/payload")))
		}
	}
	close(stop)
	b.succeed()
	if together < 3 {
		t.Errorf("at most %d containers were in the scope at once", together)
	}
	for _, path := range cgroups() {
		if m := inScope.FindStringSubmatch(path); m == nil || m[1] != id {
			t.Errorf("a container of build %s was in %s", id, path)
		}
	}
	for _, stage := range []string{"one", "two", "three"} {
		if got := fileInImage(t, "parallel", stage); got != strings.Repeat(stage+"\n", 6) {
			t.Errorf("stage %s left %q", stage, got)
		}
	}
}

func childCgroups(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "run-") {
			names = append(names, entry.Name())
		}
	}
	return names
}

// TestScopeThatGoesAwayBetweenSteps: without its keeper a scope ends with each
// step, and the next one meets it half gone. It is contained all the same.
func TestScopeThatGoesAwayBetweenSteps(t *testing.T) {
	leakCheck(t)
	stop := make(chan struct{})
	cgroups := containerCgroups(t, stop)
	b := startBuild(t, strings.Repeat("RUN true\n", 30), "--layers=false")
	killed := 0
	for len(b.done) == 0 {
		// While a container runs, so that nothing is just being placed.
		for _, view := range listed(t) {
			if view.Processes > 0 {
				if _, err := try("pkill --full --exact buildwatch-keeper"); err == nil {
					killed++
				}
			}
		}
	}
	close(stop)
	b.succeed()
	if killed < 5 {
		t.Errorf("only %d keepers were ended", killed)
	}
	for _, path := range cgroups() {
		if inScope.FindStringSubmatch(path) == nil {
			t.Errorf("a container was in %s", path)
		}
	}
}

// TestEachRuntimeAndManager: the containers of crun and runc are born in the
// scope, whichever cgroup manager podman would have used.
func TestEachRuntimeAndManager(t *testing.T) {
	crunFails := rootCrunFails(t)
	for _, runtime := range []string{"crun", "runc"} {
		for _, manager := range []string{"systemd", "cgroupfs"} {
			t.Run(runtime+", "+manager, func(t *testing.T) {
				leakCheck(t)
				stop := make(chan struct{})
				cgroups := containerCgroups(t, stop)
				args := []string{"--runtime", runtime, "--cgroup-manager", manager, "build", "--tag", "each"}
				b := startPodman(t, "RUN for i in 1 2 3; do echo $i >> /ticks; /bin/busybox sleep 0.5; done\nRUN echo 4 >> /ticks\n", args...)
				if runtime == "crun" && crunFails {
					b.failWithoutMemlock()
					close(stop)
					return
				}
				b.succeed()
				close(stop)
				if got := fileInImage(t, "each", "ticks"); got != "1\n2\n3\n4\n" {
					t.Errorf("the image has the ticks %q", got)
				}
				for _, path := range cgroups() {
					if inScope.FindStringSubmatch(path) == nil {
						t.Errorf("a container was in %s", path)
					}
				}
				if len(cgroups()) == 0 {
					t.Error("no container was seen")
				}

				mayLeaveStorage(t)
				b = startPodman(t, family, "--runtime", runtime, "--cgroup-manager", manager, "build")
				held := hold(t, b.supervised(familySize))
				_ = b.cmd.Process.Kill()
				allGone(t, held)
				sh(t, "rm -rf /run/runc/buildah-*")
			})
		}
	}
}
