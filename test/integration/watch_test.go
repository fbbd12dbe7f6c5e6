//go:build integration

package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// watcher is a `buildwatchctl watch --json` that runs.
type watcher struct {
	t      *testing.T
	events chan api.Event
	done   chan error
}

func startWatch(t *testing.T, cmd *exec.Cmd) *watcher {
	t.Helper()
	out, err := cmd.StdoutPipe()
	must(t, err)
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	w := &watcher{t, make(chan api.Event, 1000), make(chan error, 1)}
	go func() {
		defer close(w.events)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var e api.Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Kind == "" || e.Time.IsZero() {
				t.Errorf("no event: %q, %v", lines.Text(), err)
				continue
			}
			w.events <- e
		}
		w.done <- cmd.Wait()
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return w
}

// until reads the events up to one of this kind.
func (w *watcher) until(kind api.EventKind) (all []api.Event) {
	w.t.Helper()
	for timeout := time.After(long); ; {
		select {
		case e, ok := <-w.events:
			if !ok {
				w.t.Fatalf("the watching has ended: %+v", all)
			}
			if all = append(all, e); e.Kind == kind {
				return all
			}
		case <-timeout:
			w.t.Fatalf("no %q comes: %+v", kind, all)
		}
	}
}

// TestWatchFollowsABuildToItsEnd: of a killed client, each state and rung as it comes.
func TestWatchFollowsABuildToItsEnd(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	w := startWatch(t, exec.Command(ctl, "watch", "--json"))
	w.until(api.EventReady)
	others := exec.Command(ctl, "watch", "--json")
	others.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(userIDs[builder]), Gid: uint32(userIDs[builder])}}
	other := startWatch(t, others)
	other.until(api.EventReady)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	one := startWatch(t, exec.Command(ctl, "watch", "--json", view.ID[:5]))
	if first := one.until(api.EventReady); len(first) != 2 || first[0].Kind != api.EventPresent || first[0].Build.ID != view.ID {
		t.Errorf("who begins to watch now is told %+v", first)
	}
	killed := time.Now()
	_ = b.cmd.Process.Kill()
	var told []string
	events := w.until(api.EventGone)
	for _, e := range events {
		if e.Build.ID != view.ID {
			t.Errorf("of another build: %+v", e)
		}
		switch e.Kind {
		case api.EventState:
			told = append(told, string(e.Build.State))
		case api.EventRung:
			told = append(told, "rung "+string(e.Rung.Rung))
		default:
			told = append(told, string(e.Kind))
		}
	}
	if want := []string{"started", "abandoned", "terminating", "rung kill", "rung stop", "gone"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	last := events[len(events)-1]
	if last.Build.Reason != api.ReasonOwnerExited || last.Was != api.StateTerminating || last.Took <= 0 || last.Took > api.Seconds(time.Since(killed)) {
		t.Errorf("the last is %+v of %+v", last, last.Build)
	}
	one.until(api.EventGone)
	select {
	case err := <-one.done:
		if err != nil {
			t.Errorf("who watches one build ends by %v", err)
		}
	case <-time.After(long):
		t.Error("who watches one build does not end with it")
	}
	select {
	case e := <-other.events:
		t.Errorf("another user is told %+v", e)
	default:
	}
}

// TestWatchGoesOnAfterARestartOfTheDaemon.
func TestWatchGoesOnAfterARestartOfTheDaemon(t *testing.T) {
	leakCheck(t)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	w := startWatch(t, exec.Command(ctl, "watch", "--json", view.ID))
	w.until(api.EventReady)
	for _, command := range []string{"restart", "kill --signal=KILL"} {
		sh(t, "systemctl %s buildwatchd.service", command)
		if again := w.until(api.EventReady); len(again) != 2 || again[0].Kind != api.EventPresent || again[0].Build.ID != view.ID {
			t.Errorf("after systemctl %s it is told %+v", command, again)
		}
	}
	sh(t, "%s stop %s", ctl, view.ID)
	if last := w.until(api.EventGone); last[len(last)-1].Build.Reason != api.ReasonStopped {
		t.Errorf("told %+v", last)
	}
	b.wait()
}

// TestAttack12WatchReaderThatStopsReading: readers that stop reading hold nobody up,
// and cost a bounded amount of memory; one that goes on is told what it has missed.
func TestAttack12WatchReaderThatStopsReading(t *testing.T) {
	unharmed := underAttack(t)
	const readers = 40
	var idle []net.Conn
	for range readers {
		conn, err := net.Dial("unix", api.ControlSocket)
		must(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("GET " + api.PathEvents + " HTTP/1.1\r\nHost: d\r\n\r\n"))
		must(t, err)
		idle = append(idle, conn)
	}
	stopped := exec.Command(ctl, "watch", "--json")
	w := startWatch(t, stopped)
	w.until(api.EventReady)
	must(t, stopped.Process.Signal(syscall.SIGSTOP))
	began := time.Now()
	sh(t, "seq 400 | xargs -P4 -n1 %s run -- true", ctl)
	t.Logf("400 builds took %v beside %d readers that do not read", time.Since(began), readers)
	must(t, stopped.Process.Signal(syscall.SIGCONT))
	events := w.until(api.EventDropped)
	lost := events[len(events)-1].Dropped
	t.Logf("%d events were told, %d lost", len(events)-1, lost)
	if lost < 1 {
		t.Errorf("%d events were lost", lost)
	}
	// What is there then is told again: the build under attack, if it is not done.
	for _, e := range w.until(api.EventReady) {
		if e.Kind != api.EventPresent && e.Kind != api.EventReady {
			t.Errorf("then it is told %+v", e)
		}
	}
	for _, conn := range idle {
		conn.Close()
	}
	unharmed()
}

// TestDryRunSendsNothing: the build goes on, and its content is whole; and a plan
// names exactly those whom a stop then ends.
func TestDryRunSendsNothing(t *testing.T) {
	leakCheck(t)
	b := startBuild(t, ticks+"RUN true\n", "--tag", "planned")
	view := b.supervised(1)
	for range 5 {
		if out := sh(t, "%s stop --dry-run %s; %s stop --dry-run --all --json", ctl, view.ID, ctl); !strings.Contains(out, "nothing is sent") || !strings.Contains(out, `"kill_unit"`) {
			t.Errorf("the plan is\n%s", out)
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.succeed()
	if got := fileInImage(t, "planned", "ticks"); got != allTicks {
		t.Errorf("the image has the ticks %q", got)
	}
	sh(t, "podman rmi --force planned")
}

func TestPlanNamesExactlyWhomAStopEnds(t *testing.T) {
	leakCheck(t)
	b := startBuild(t, family)
	view := b.supervised(familySize)
	if out, err := try("runuser -u builder -- %s stop --dry-run %s", ctl, view.ID); err == nil || !strings.Contains(out, "no build with ID") {
		t.Errorf("another user sees the plan: %s", out)
	}
	var plans []api.Plan
	eventually(t, func() (string, bool) { // until each has become what it is to be
		must(t, json.Unmarshal([]byte(sh(t, "%s stop --dry-run --json %s", ctl, view.ID)), &plans))
		ready := 0
		for _, p := range plans[0].Actions[1].Processes {
			if p.Command == "busybox" {
				ready++
			}
		}
		return fmt.Sprintf("%+v", plans), ready == familySize-1 && len(plans[0].Actions[1].Processes) == familySize+1
	})
	kill, owner := plans[0].Actions[1], plans[0].Actions[2]
	var planned, there []string
	for _, p := range kill.Processes {
		planned = append(planned, fmt.Sprintf("%d %s", p.PID, p.Command))
	}
	// All that systemd has in the unit gets the signal, the keeper too.
	for line := range strings.Lines(sh(t, "for pid in $(find /sys/fs/cgroup%s -name cgroup.procs -exec cat {} +); do echo $pid $(cat /proc/$pid/comm); done", view.Cgroup)) {
		there = append(there, strings.TrimSpace(line))
	}
	slices.Sort(planned)
	slices.Sort(there)
	if kill.Rung != api.RungKill || kill.Means != api.MeansKillUnit || kill.On != view.Scope || !slices.Equal(planned, there) {
		t.Errorf("planned is %+v; there are %q", kill, there)
	}
	if owner.Rung != api.RungOwner || owner.Means != api.MeansWait || len(owner.Processes) != 1 || owner.Processes[0].PID != b.pid() {
		t.Errorf("of the owner is planned: %+v", owner)
	}
	held := hold(t, view)
	w := startWatch(t, exec.Command(ctl, "watch", "--json", view.ID))
	w.until(api.EventReady)
	sh(t, "%s stop %s", ctl, view.ID)
	allGone(t, held)
	for _, e := range w.until(api.EventGone) {
		if e.Kind == api.EventRung && !slices.ContainsFunc(plans[0].Actions, func(s api.PlanAction) bool { return s.Rung == e.Rung.Rung }) {
			t.Errorf("rung %q was not planned", e.Rung.Rung)
		}
	}
	if code := b.wait(); code == 0 {
		t.Error("podman build reports success")
	}
	if b.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Error("an owner that tidies up was signalled")
	}
}

// TestPlanOfARunSparesItsClientAtFirst: the client is in the scope too, with the
// containers before it in the ladder.
func TestPlanOfARunSparesItsClientAtFirst(t *testing.T) {
	leakCheck(t)
	b := startCommand(t, ctl, "run", "--", "podman", "build", "--no-cache", "--network=none", "--platform", arch64, contextDir(t, family))
	var plans []api.Plan
	commands := func(s api.PlanAction) (names []string) {
		for _, p := range s.Processes {
			names = append(names, p.Command)
		}
		return names
	}
	eventually(t, func() (string, bool) {
		must(t, json.Unmarshal([]byte(sh(t, "%s stop --dry-run --json --all", ctl)), &plans))
		return fmt.Sprintf("%+v", plans), len(plans) == 1 && len(plans[0].Actions) > 3 && len(plans[0].Actions[1].Processes) == familySize
	})
	containers, tidy, term := plans[0].Actions[1], plans[0].Actions[2], plans[0].Actions[3]
	if containers.Means != api.MeansCgroupKill || !strings.HasSuffix(containers.On, ".scope/payload") || slices.Contains(commands(containers), "podman") {
		t.Errorf("first comes %+v", containers)
	}
	if tidy.Means != api.MeansWait || !slices.Equal(commands(tidy), []string{"podman"}) || term.Signal != "SIGHUP" || !slices.Contains(commands(term), "podman") {
		t.Errorf("then come %+v, %+v", tidy, term)
	}
	held := hold(t, listed(t)[0])
	sh(t, "%s stop --all", ctl)
	allGone(t, held)
	b.wait()
}
