//go:build integration

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// specimens is where `make testmachine` has put the programs that steps run.
const specimens = "/src/build/specimens"

// specimenImage makes an image that has them, and emulated busybox.
func specimenImage(t *testing.T) {
	t.Helper()
	dir := contextDir(t, "COPY --chmod=755 hang hang-bare waits /bin/\n")
	for _, name := range []string{"hang", "hang-bare", "waits"} {
		program, err := os.ReadFile(filepath.Join(specimens, name))
		must(t, err)
		write(t, filepath.Join(dir, name), string(program))
	}
	sh(t, "podman build --quiet --network=none --platform %s --tag specimens %s", arch64, dir)
	t.Cleanup(func() { sh(t, "podman rmi --force specimens") })
}

// startStep starts a build with one step, of these words.
func startStep(t *testing.T, words ...string) *build {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Containerfile"), fmt.Sprintf("FROM localhost/specimens\nRUN [\"%s\"]\n", strings.Join(words, `", "`)))
	return startCommand(t, "podman", "build", "--no-cache", "--network=none", "--platform", arch64, dir)
}

// now is the build of this owner as the daemon has it at this moment.
func (b *build) now() (api.Build, bool) {
	b.t.Helper()
	c := control()
	defer c.Close()
	builds, err := c.List(context.Background())
	must(b.t, err)
	i := slices.IndexFunc(builds, func(view api.Build) bool { return view.Owner.PID == b.pid() })
	if i < 0 {
		return api.Build{}, false
	}
	return builds[i], true
}

// becomes waits until the build is in a state, and returns it and since when it has
// been so, give or take a few milliseconds.
func (b *build) becomes(state api.State) (view api.Build, since time.Time) {
	b.t.Helper()
	eventually(b.t, func() (string, bool) {
		view, _ = b.now()
		return fmt.Sprintf("the build is %+v, not %s", view, state), view.State == state
	})
	return view, time.Now()
}

// stopsMoving waits until a build has not used the processor for a second, and
// returns when it did last.
func stopsMoving(t *testing.T, view api.Build) time.Time {
	t.Helper()
	stat := filepath.Join("/sys/fs/cgroup", view.Cgroup, "payload", "cpu.stat")
	var last string
	moved := time.Now()
	eventually(t, func() (string, bool) {
		content, err := os.ReadFile(stat)
		must(t, err)
		usage, _, _ := strings.Cut(string(content), "\n")
		if usage != last {
			last, moved = usage, time.Now()
		}
		return "it moves", time.Since(moved) > time.Second
	})
	return moved
}

// TestHungBuildIsStalled: emulated programs every thread of which waits in a futex,
// alone and with parents that wait for them.
func TestHungBuildIsStalled(t *testing.T) {
	leakCheck(t)
	specimenImage(t)
	const after = 5 * time.Second
	configured(t, "[stalled]", `after = "5s"`)
	for _, words := range [][]string{
		{"/bin/hang"},
		{"/bin/hang-bare"},
		{"/bin/busybox", "sh", "-c", "/bin/hang; true"},
		{"/bin/busybox", "sh", "-c", "(/bin/hang-bare; true) & /bin/hang & /bin/busybox true; /bin/hang-bare; true"},
		{"/bin/waits", "run", "hang"},
	} {
		t.Run(strings.Join(words[:], " "), func(t *testing.T) {
			before := metric(t, "buildwatch_builds_stalled_total")
			b := startStep(t, words...)
			quiet := stopsMoving(t, b.supervised(1))
			view, seen := b.becomes(api.StateStalled)
			t.Logf("stalled %v after it last moved", seen.Sub(quiet))
			if took := seen.Sub(quiet); took < after*95/100 || took > after+soon(after/10) {
				t.Errorf("stalled %v after it last moved, want %v", took, after)
			}
			if off := view.StalledSince.Sub(quiet); off < -time.Second || off > after/10 {
				t.Errorf("stalled since %v, it last moved %v", view.StalledSince, quiet)
			}
			if got := sh(t, "%s list -q --filter state=stalled", ctl); got != view.ID {
				t.Errorf("the filter finds %q", got)
			}
			if got := sh(t, "%s show %s", ctl, view.ID); !strings.Contains(got, "Stalled: since") {
				t.Errorf("show says\n%s", got)
			}
			if got := metric(t, `buildwatch_builds{placement="scope",state="stalled"}`); got != "1" {
				t.Errorf("%s builds are stalled", got)
			}
			was, err := strconv.Atoi(before)
			must(t, err)
			if got := metric(t, "buildwatch_builds_stalled_total"); got != strconv.Itoa(was+1) {
				t.Errorf("%d were stalled before, %s after", was, got)
			}
			eventually(t, func() (string, bool) {
				out := sh(t, "journalctl --sync; journalctl -q --no-pager -o json -p warning -u %s BUILDWATCH_ID=%s", view.Scope, view.ID)
				return out, strings.Count(out, "\n") == 0 && strings.Contains(out, `"BUILDWATCH_PROCESSES"`) && strings.Contains(out, `"BUILDWATCH_SINCE"`)
			})
			sh(t, "%s stop %s", ctl, view.ID)
			b.wait()
		})
	}
}

// TestStalledBuildThatGoesOnIsRunning again, and can stall again.
func TestStalledBuildThatGoesOnIsRunning(t *testing.T) {
	leakCheck(t)
	specimenImage(t)
	configured(t, "[stalled]", `after = "2s"`)
	b := startStep(t, "/bin/busybox", "sh", "-c", "trap true USR1; /bin/hang-bare; echo on >/on; exec /bin/hang-bare")
	first, _ := b.becomes(api.StateStalled)
	detail, err := show(first.ID)
	must(t, err)
	hung := detail.ProcessTree[len(detail.ProcessTree)-1]
	sh(t, "kill -KILL %d", hung.PID)
	b.becomes(api.StateRunning)
	second, _ := b.becomes(api.StateStalled)
	if second.ID != first.ID || !second.StalledSince.After(first.StalledSince) {
		t.Errorf("first stalled: %+v, then %+v", first, second)
	}
	out := sh(t, "journalctl --sync; journalctl -q --no-pager -o cat BUILDWATCH_ID=%s", first.ID)
	if strings.Count(out, "is stalled: since") != 2 || strings.Count(out, "goes on") != 1 {
		t.Errorf("the journal says\n%s", out)
	}
	sh(t, "%s stop %s", ctl, first.ID)
	b.wait()
}

// TestStalledBuildIsEndedByPolicy, when it has been stalled for long enough, with
// nothing left. No mayLeaveStorage here.
func TestStalledBuildIsEndedByPolicy(t *testing.T) {
	leakCheck(t)
	specimenImage(t)
	configured(t, "[stalled]", `after = "2s"`, `policy = "kill"`, `kill_after = "3s"`)
	b := startStep(t, "/bin/hang")
	honest := startStep(t, "/bin/busybox", "sleep", "1000")
	view, _ := b.becomes(api.StateStalled)
	held := hold(t, view)
	allGone(t, held)
	// By the daemon's word: when this test has seen that it is stalled does not count.
	if took := time.Since(view.StalledSince); took < 5*time.Second {
		t.Errorf("it was ended %v after it last moved", took)
	}
	if code := b.wait(); code == 0 {
		t.Error("podman build reports success")
	}
	eventually(t, func() (string, bool) {
		got := metric(t, `buildwatch_builds_ended_total{reason="stalled"}`)
		return got + " builds ended as stalled", got == "1"
	})
	other, _ := honest.now()
	if other.State != api.StateRunning {
		t.Errorf("an honest build is %+v", other)
	}
	sh(t, "%s stop %s", ctl, other.ID)
	honest.wait()
}

// sleepers are honest, each a step: words of busybox, and ways of the program waits.
var sleepers = []struct{ program, words string }{
	{"busybox", "sleep 1000"},
	{"sh", "sleep 1001 & sleep 1002 & wait"},
	{"sh", "sleep 1000 | /bin/busybox cat"},
	{"sh", "/bin/busybox mkfifo /f; read line </f"},
	{"sh", "/bin/hang & sleep 1000"},
	{"sh", "while :; do /bin/busybox usleep 200000; done"},
	{"sh", "/bin/busybox timeout 1000 /bin/hang"},
	{"waits", "time.Sleep"},
	{"waits", "timer in select"},
	{"waits", "nanosleep"},
	{"waits", "nanosleep loop"},
	{"waits", "futex with a timeout"},
	{"waits", "futex with 90 s, private"},
	{"waits", "futex until a time"},
	{"waits", "futex with short timeouts"},
	{"waits", "a thread sleeps, others wait"},
	{"waits", "a thread waits with a timeout, others without"},
	{"waits", "a thread computes, others wait"},
	{"waits", "a thread wakes others now and then"},
	{"waits", "a child that computes"},
	{"waits", "a child that sleeps"},
	{"waits", "pipe"},
	{"waits", "unix socket"},
	{"waits", "accept"},
	{"waits", "answer over TCP"},
	{"waits", "UDP"},
	{"waits", "blocking poll"},
	{"waits", "poll with a timeout"},
	{"waits", "select"},
	{"waits", "ppoll"},
	{"waits", "epoll"},
	{"waits", "inotify"},
	{"waits", "flock"},
	{"waits", "record lock"},
	{"waits", "fifo"},
	{"waits", "signal, by a timer"},
	{"waits", "eventfd"},
	{"waits", "timerfd"},
	{"waits", "message queue"},
	{"waits", "SysV semaphore"},
	{"waits", "sigtimedwait"},
}

// TestHonestSleepersAreNotStalled: whatever else a build waits for. Among them is
// each time one that does hang, which is noticed meanwhile.
func TestHonestSleepersAreNotStalled(t *testing.T) {
	leakCheck(t)
	specimenImage(t)
	const after = 2 * time.Second
	configured(t, "[stalled]", `after = "2s"`)
	for some := range slices.Chunk(sleepers, 10) {
		before, err := strconv.Atoi(metric(t, "buildwatch_builds_stalled_total"))
		must(t, err)
		hangs := startStep(t, "/bin/hang")
		builds := map[string]*build{}
		for _, s := range some {
			words := []string{"/bin/" + s.program, s.words}
			switch s.program {
			case "busybox":
				words = append(words[:1], strings.Fields(s.words)...)
			case "sh":
				words = []string{"/bin/busybox", "sh", "-c", s.words}
			}
			builds[s.words] = startStep(t, words...)
		}
		for _, b := range builds {
			b.supervised(1)
		}
		hangs.becomes(api.StateStalled)
		time.Sleep(5 * after)
		for way, b := range builds {
			view, ok := b.now()
			if !ok || view.State != api.StateRunning || view.Processes == 0 {
				t.Errorf("%s: %+v\n%s", way, view, b.out.String())
			}
		}
		if got := metric(t, "buildwatch_builds_stalled_total"); got != strconv.Itoa(before+1) {
			t.Errorf("%s were stalled, with %d before", got, before)
		}
		sh(t, "%s stop --all", ctl)
		hangs.wait()
		for _, b := range builds {
			b.wait()
		}
	}
}

// TestHungBuildIsStalledHoweverItIsBuilt: rootless, by the API, by run, and round the
// wrapper.
func TestHungBuildIsStalledHoweverItIsBuilt(t *testing.T) {
	leakCheck(t)
	configured(t, "[stalled]", `after = "2s"`)
	dir := contextDir(t, "COPY --chmod=755 hang /bin/hang\nRUN /bin/hang; true\n")
	program, err := os.ReadFile(filepath.Join(specimens, "hang"))
	must(t, err)
	write(t, filepath.Join(dir, "hang"), string(program))
	open, err := os.MkdirTemp("", "hang-") // not below the test's directory, which is root's alone
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(open)) })
	sh(t, "cp -r %s/. %s; chmod -R a+rX %s", dir, open, open)
	const offline = "--network=none"
	build := func(program ...string) []string {
		return append(program, "--no-cache", "--platform", arch64, open)
	}
	runtime := realRuntime(t)
	for _, row := range []struct {
		name  string
		who   user
		words []string
	}{
		{"buildah", root, build("buildah", "bud", offline)},
		{"rootless", builder, build("podman", "build", offline)},
		{"API", root, build("podman", "--remote", "build", offline)},
		{"run", root, build(ctl, "run", "podman", "build", offline)},
		{"rootless run", builder, build(ctl, "run", "podman", "build", offline)},
		{"round the wrapper", root, build("podman", "--runtime", runtime, "build", offline)},
		{"chroot", root, build("podman", "build", "--isolation", "chroot")},
	} {
		t.Run(row.name, func(t *testing.T) {
			leakCheck(t)
			if row.name == "API" {
				serveAPI(t)
			}
			if row.who != root {
				t.Cleanup(func() { row.who.tidy(t) })
			}
			cmd := command(row.who, row.words...)
			b := startCommand(t, cmd.Path, cmd.Args[1:]...)
			defer func() {
				sh(t, "%s stop --all", ctl)
				b.wait()
			}()
			eventually(t, func() (string, bool) {
				builds := listed(t)
				stalled := len(builds) == 1 && builds[0].State == api.StateStalled
				threads := ""
				if !stalled {
					threads = sh(t, "ps -eLo pid,ppid,tid,stat,wchan:30,time,args | grep -E '[h]ang|[b]uildah-' || true")
				}
				return fmt.Sprintf("%+v\n%s", builds, threads), stalled
			})
		})
	}
}
