//go:build podmanmachine

package podmanmachine

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// TestACancelledBuildGoesOnInTheMachine is what the product is for: without it.
func TestACancelledBuildGoesOnInTheMachine(t *testing.T) {
	uninstall(t)
	for _, user := range []string{"core", desktop} {
		b := startBuild(t, user, family)
		b.begun()
		b.signal(syscall.SIGKILL)
		b.wait()
		time.Sleep(15 * time.Second) // the API service ends 5 s after its last client
		left := b.processes()
		t.Logf("%s, without buildwatch, 15 s after the cancel: %d processes left in the machine, and nobody is told", user, left)
		if left != 5 {
			t.Errorf("%d processes are left of 5", left)
		}
		b.inContainer("kill -KILL $p")
	}
}

// TestCancelledFromTheHostLeavesNothing: by each signal, of both of the machine's users.
func TestCancelledFromTheHostLeavesNothing(t *testing.T) {
	install(t)
	for _, user := range []string{"core", "root", desktop} {
		for name, sig := range map[string]syscall.Signal{"Ctrl+C": syscall.SIGINT, "SIGKILL": syscall.SIGKILL} {
			t.Run(user+", "+name, func(t *testing.T) {
				if user == desktop && sig == syscall.SIGINT {
					return // it has one way to cancel
				}
				b := startBuild(t, user, family)
				b.begun()
				listed(t, user, 1)
				began := time.Now()
				b.signal(sig)
				if code := b.wait(); code == 0 {
					t.Errorf("the client's exit code is 0")
				}
				b.gone()
				t.Logf("gone, seen from the host, after %s", time.Since(began).Round(time.Second))
				listed(t, user, 0)
			})
		}
	}
}

// TestOneOfTwoBuildsIsCancelled: all clients of the machine's API service are sshd, over two of
// podman's ssh connections, or over the one of gvproxy that Podman Desktop goes through. Which
// one ended is told right, and the other's build is done whole.
func TestOneOfTwoBuildsIsCancelled(t *testing.T) {
	install(t)
	for _, user := range []string{"core", desktop} {
		t.Run(user, func(t *testing.T) {
			wanted, cancelled := startBuild(t, user, patient), startBuild(t, user, family)
			cancelled.begun()
			both := listed(t, user, 2)
			cancelled.signal(syscall.SIGKILL)
			cancelled.gone()
			left := listed(t, user, 1)
			t.Logf("of %s and %s is left %s", both[0].ID, both[1].ID, left[0].ID)
			wanted.goOn()
			if out, code := ask("buildwatchctl --machine wait " + left[0].ID); code != 0 {
				t.Errorf("wait: exit code %d\n%s", code, out)
			}
			wanted.whole()
		})
	}
}

// TestVerbsFromTheHost are answered as in the machine.
func TestVerbsFromTheHost(t *testing.T) {
	install(t)
	b := startBuild(t, "core", family)
	b.begun()
	id := listed(t, "core", 1)[0].ID
	watch := onHost("exec buildwatchctl --machine watch " + id)
	var events strings.Builder
	watch.Stdout = &events
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		script string
		code   int
		says   string
	}{
		{"podman machine ssh sudo buildwatchctl list", 0, id},
		{"podman machine ssh " + vm + " buildwatchctl list", 0, id},
		{"buildwatchctl --machine list --format '{{.ID}}'", 0, id},
		{"buildwatchctl --machine show " + id, 0, "its API request is not over"},
		{"buildwatchctl --machine check", 0, ""}, // all is well, or a step was not placed in the wrapper's second
		{"buildwatchctl --machine wait --timeout 1s " + id, 124, "is still running"},
		{"buildwatchctl --machine stop " + id, 0, id},
		{"buildwatchctl --machine stop " + id, 1, "no build with ID"},
		{"buildwatchctl --machine list nonsense", 125, "takes no arguments"},
		{"buildwatchctl --machine=other list", 125, `podman has no machine "other" to ask`},
	} {
		out, code := ask(c.script)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", c.script, code, c.code, c.says, out)
		}
	}
	_ = watch.Wait()
	if !strings.Contains(events.String(), "gone") {
		t.Errorf("watch does not say that it is gone:\n%s", events.String())
	}
	if code := b.wait(); code == 0 {
		t.Errorf("a stopped build's client ends with 0\n%s", b.said.String())
	}
	b.gone()
}

// TestTheLidIsClosed: the VM stands still for a minute, and then its clock jumps, forwards and
// back. A build that is wanted goes on afterwards; one whose client was killed meanwhile is ended.
func TestTheLidIsClosed(t *testing.T) {
	install(t)
	wanted, cancelled := startBuild(t, "core", patient), startBuild(t, "core", family)
	cancelled.begun()
	listed(t, "core", 2)
	host(t, "pkill -STOP -u dev -x qemu-system-x86")
	cancelled.signal(syscall.SIGKILL)
	time.Sleep(time.Minute)
	host(t, "pkill -CONT -u dev -x qemu-system-x86")
	for _, jump := range []string{"+1 hour", "-2 hours", "+1 hour"} {
		inside(t, "date --set "+quote(jump))
	}
	cancelled.gone()
	listed(t, "core", 1)
	wanted.goOn()
	wanted.whole()
	t.Logf("the daemon meanwhile:\n%s", inside(t, "journalctl -u buildwatchd -o short-monotonic --no-pager -n 15"))
	cancelledLeavesNothing(t, "core")
}

// TestStoppedDuringABuild: `machine stop`, and all is as before after `start`: nobody saw the end of
// that build, and what it had made in storage goes as well.
func TestStoppedDuringABuild(t *testing.T) {
	install(t)
	before := inStorage(t)
	b := startBuild(t, "core", family)
	b.begun()
	host(t, "podman machine stop")
	out, code := ask("buildwatchctl --machine list")
	if want := `is not running but stopped: "podman machine start ` + vm + `" starts it`; code != 125 || !strings.Contains(out, want) {
		t.Errorf("list: exit code %d\n%s", code, out)
	}
	b.wait()
	if err := start(); err != nil {
		t.Fatal(err)
	}
	worksAsBefore(t)
	if left := inside(t, "ls -d /run/user/*/crun/buildah-buildah* /sys/fs/cgroup/buildwatch.slice/buildwatch-* 2>/dev/null || true"); left != "" {
		t.Errorf("left: %s", left)
	}
	eventually(t, "what the build had in storage is removed", func() (string, bool) {
		more := slices.DeleteFunc(inStorage(t), func(item string) bool { return slices.Contains(before, item) })
		return strings.Join(more, " "), len(more) == 0
	})
	again := startBuild(t, "core", "RUN echo WHO''LE MARK")
	again.whole()
}

// inStorage are core's containers and all bundles.
func inStorage(t *testing.T) []string {
	t.Helper()
	return strings.Fields(host(t, "podman machine ssh --username core "+vm+" "+quote("podman ps --all --external --quiet; ls -d /var/tmp/buildah[0-9]* 2>/dev/null || true")))
}

// TestGvproxyKilled: what all connections go through. Their clients are gone for good.
func TestGvproxyKilled(t *testing.T) {
	install(t)
	b := startBuild(t, "core", family)
	b.begun()
	host(t, "pkill -KILL -u dev -x gvproxy")
	if code := b.wait(); code == 0 {
		t.Errorf("the client's exit code is 0")
	}
	out, code := ask("timeout 60 buildwatchctl --machine list")
	if code != 125 || !strings.Contains(out, "can't be asked, which says nothing of its builds") {
		t.Errorf("list: exit code %d\n%s", code, out)
	}
	reachable(t) // the way on is the user's: stop, and start
	worksAsBefore(t)
}

// rounds is how often it is measured without and with buildwatch, in turn.
const rounds = 1

// mostOver is how much longer than without it a build may take with buildwatch.
const mostOver = 1.15

// TestHowLongABuildTakes prints it, without and with buildwatch. What is compared is the CPU time
// that qemu has used: the machine's only processor is busy all through a build, and for how
// long it has to wait for one of the host's depends on what else the host does.
func TestHowLongABuildTakes(t *testing.T) {
	steps := strings.Repeat("RUN /bin/busybox sleep 1\n", 4)
	took := map[string][]time.Duration{}
	measure := func(what string) {
		before, used, began := cpuTime(t), qemuTime(t), time.Now()
		b := startBuild(t, "core", steps)
		if code := b.wait(); code != 0 {
			t.Fatalf("exit code %d\n%s", code, b.said.String())
		}
		wall := time.Since(began)
		used = qemuTime(t) - used
		took[what] = append(took[what], used)
		t.Logf("%s: %.1f s, %.1f s of them qemu's CPU time; in the machine: %s", what, wall.Seconds(), used.Seconds(), since(before, cpuTime(t)))
	}
	for range rounds {
		uninstall(t)
		measure("without")
		measure("without")
		install(t)
		measure("with")
		measure("with")
	}
	without, with := shortest(took["without"]), shortest(took["with"])
	ratio := with.Seconds() / without.Seconds()
	t.Logf("a build of 4 steps of a second each: without buildwatch %.1f s, with it %.1f s: %.2fx (all: %v; %v)", without.Seconds(), with.Seconds(), ratio, took["without"], took["with"])
	if ratio > mostOver {
		t.Errorf("%.2fx is more than %.2fx", ratio, mostOver)
	}
}

func shortest(all []time.Duration) time.Duration {
	least := all[0]
	for _, d := range all {
		least = min(least, d)
	}
	return least
}

// gone waits until nothing of the build is left in the machine.
func (b *build) gone() {
	b.t.Helper()
	eventually(b.t, "nothing is left", func() (string, bool) {
		n := b.processes()
		return fmt.Sprint(n, " processes"), n == 0
	})
}

// listed waits until buildwatchctl on the host lists so many live builds of a user, and
// returns them.
func listed(t *testing.T, user string, n int) (builds []api.Build) {
	t.Helper()
	ctl := "buildwatchctl --machine list --json"
	switch user {
	case desktop:
		user = "core"
	case rootfully:
		user = "root"
	case "root":
		ctl = "podman machine ssh --username root " + vm + " buildwatchctl list --json"
	}
	eventually(t, fmt.Sprintf("%d builds are listed", n), func() (string, bool) {
		out, code := ask(ctl)
		if code != 0 {
			return out, false
		}
		var all []api.Build
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		builds = nil
		for _, b := range all {
			if b.Live() && b.User.Name == user {
				builds = append(builds, b)
			}
		}
		return out, len(builds) == n
	})
	return builds
}

// install installs buildwatch as its README says, unless it is there.
func install(t *testing.T) {
	t.Helper()
	reachable(t)
	if installed || os.Getenv("INSTALLED") != "" {
		return
	}
	began := time.Now()
	out := host(t, release+"/dist/podman-machine/install.sh")
	t.Logf("install.sh, %s:\n%s", time.Since(began).Round(time.Second), out)
	for _, want := range []string{"podman of root: crun, by ", "podman of core: crun, by "} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	installed = true
	settle(t)
}

// installed reports whether the machine has what this run has installed.
var installed bool

func uninstall(t *testing.T) {
	t.Helper()
	reachable(t)
	installed = false
	if _, code := ask("buildwatchctl --machine version"); code == 0 {
		host(t, release+"/dist/podman-machine/uninstall.sh")
		settle(t)
	}
}

// settle lets API services end that have looked their runtime up before.
func settle(t *testing.T) {
	t.Helper()
	eventually(t, "podman's services end", func() (string, bool) {
		out := inside(t, "pgrep -af '[p]odman .*system service' || true")
		return out, out == ""
	})
}
