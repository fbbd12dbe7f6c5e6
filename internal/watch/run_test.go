package watch

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/owners/ownerstest"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// runCaller is a process that asks to be placed by run, and its parent, which
// waits. Both run the test's own program, in the place of buildwatchctl.
func runCaller(t *testing.T) (caller owners.Caller, waiter *proc.Handle, program string) {
	t.Helper()
	ctl, handle := ownerstest.Start(t, "buildwatchctl", "waiter")
	waiter, err := handle.Parent()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(waiter.Close)
	return owners.Caller{Handle: handle, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}, waiter, ctl.Path
}

// begin runs the caller's build.
func (b *bench) beginRun(caller owners.Caller, run Run) (*build, *fakeScope) {
	b.t.Helper()
	view, err := b.Run(context.Background(), caller, run)
	if err != nil {
		b.t.Fatal(err)
	}
	built, err := b.find(view.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return built, <-b.made
}

func TestRunPlacesItsCallerAndNobodyElse(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, waiter, program := runCaller(t)
	b, s := w.beginRun(caller, Run{Name: "nightly", Program: program, Spec: processes.Spec{Limits: limits.Limits{
		Values: []limits.Value{{Name: "TasksMax", Value: uint64(7)}}, RuntimeMax: time.Hour,
	}}})
	if !slices.Equal(s.entered, []int{caller.PID}) || !s.spec.Command || len(s.spec.Limits) != 1 || s.spec.RuntimeMax != time.Hour+2*never {
		t.Errorf("entered %v, the scope is %+v", s.entered, s.spec)
	}
	view := w.List(anybody)[0]
	if view.Mode != api.ModeRun || view.Name != "nightly" || view.Owner.PID != caller.PID || view.ID != b.id {
		t.Errorf("listed as %+v", view)
	}
	if again := w.runOf(&owners.Owner{Handle: caller.Handle}, caller.UID); again != b {
		t.Errorf("its command's containers belong to %v", again)
	}
	if other := w.runOf(&owners.Owner{Handle: caller.Handle}, caller.UID+1); other != nil {
		t.Error("another user's containers belong to it")
	}
	// A restarted daemon knows it again.
	read, err := owners.Decode(s.record)
	if err != nil || read.Name != "nightly" || read.DeadlineUSec == 0 || read.Owner != caller.Identity || read.Waiters[0] != waiter.Identity {
		t.Errorf("the record is %+v, %v", read, err)
	}
}

func TestRunIsRefusedToWhoeverIsNotBuildwatchctl(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, waiter, program := runCaller(t)
	stranger, err := proc.Open(startChild(t, "").Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	anothers := caller
	anothers.UID++
	for name, test := range map[string]struct {
		caller  owners.Caller
		program string
	}{
		"another program":   {owners.Caller{Handle: stranger, UID: caller.UID}, program},
		"not the installed": {caller, "/bin/sh"},
		"another user's":    {anothers, program},
		"no program at all": {caller, "/no/such/program"},
	} {
		if b, err := w.Run(context.Background(), test.caller, Run{Program: test.program}); err == nil {
			t.Errorf("%s: %+v", name, b)
		}
	}
	if _, err := w.Run(context.Background(), owners.Caller{Handle: waiter, UID: caller.UID}, Run{Program: program}); err != nil {
		t.Errorf("who has a parent of that program is refused: %v", err)
	}
	<-w.made
	if _, err := w.Run(context.Background(), owners.Caller{Handle: waiter, UID: caller.UID}, Run{Program: program}); !errors.Is(err, ErrPart) {
		t.Errorf("an owner begins another build: %v", err)
	}
	if len(w.made) != 0 {
		t.Error("a scope was made")
	}
}

// TestRunThatFailsLeavesNothing: neither a scope nor a build that would be ended.
func TestRunThatFailsLeavesNothing(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, _, program := runCaller(t)
	w.begin = func(context.Context, scopes.Spec) (*fakeScope, error) { return nil, scopes.ErrNoSystemd }
	if _, err := w.Run(context.Background(), caller, Run{Program: program}); !errors.Is(err, scopes.ErrNoSystemd) {
		t.Errorf("%v", err)
	}
	w.begin = nil
	given, cancel := context.WithCancel(context.Background())
	w.script = func(s *fakeScope) { s.beforeEnter = cancel }
	if _, err := w.Run(given, caller, Run{Program: program}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	s := <-w.made
	s.until(t, "close")
	if builds, owners := w.known(); len(s.entered) != 0 || s.discards != 1 || len(w.List(anybody)) != 0 || builds+owners != 0 {
		t.Errorf("entered %v, discarded %d times, %d builds", s.entered, s.discards, builds)
	}
	if !caller.Alive() {
		t.Error("the caller was ended")
	}
}

// TestCancelOfARunSparesItsCommandAtFirst, and ends what it leaves.
func TestCancelOfARunSparesItsCommandAtFirst(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, _, program := runCaller(t)
	b, s := w.beginRun(caller, Run{Program: program})
	b.send(message{event: lifecycle.StopRequested})
	if calls := s.until(t, "command SIGKILL"); !slices.Equal(calls, []string{"kill containers", "command SIGKILL"}) {
		t.Errorf("called %v", calls) // the second spares all but steps with chroot isolation
	}
	proctest.Eventually(t, "the command may tidy up", func() bool { return b.current().Stage == lifecycle.StageTidy })
	_ = caller.Signal(unix.SIGKILL) // it ends
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill", "stop", "close"}) {
		t.Errorf("called %v", calls)
	}
	if e := w.end(); e.reason != api.ReasonStopped || e.mode != api.ModeRun {
		t.Errorf("counted as %+v", e)
	}
}

// TestStubbornCommandOfARunIsTold, all of it, and then ended.
func TestStubbornCommandOfARunIsTold(t *testing.T) {
	timeouts := longTimeouts
	timeouts.Owner = soon
	timeouts.OwnerTerm = soon
	w := newBench(t, timeouts)
	caller, _, program := runCaller(t)
	_ = caller.Signal(unix.SIGSTOP)
	b, s := w.beginRun(caller, Run{Program: program})
	b.send(message{event: lifecycle.StopRequested})
	if calls := s.until(t, "close"); !slices.Equal(calls, []string{"kill containers", "command SIGKILL", "command SIGHUP", "command SIGTERM", "kill", "stop", "close"}) {
		t.Errorf("called %v", calls)
	}
	if caller.Alive() {
		t.Error("the owner lives")
	}
}

func TestDeadlineOfARunIsItsEnd(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, _, program := runCaller(t)
	_, s := w.beginRun(caller, Run{Program: program, Spec: processes.Spec{Limits: limits.Limits{RuntimeMax: 25 * soon}}}) // it is in its scope by then
	s.until(t, "kill containers")
	_ = caller.Signal(unix.SIGKILL)
	if e := w.end(); e.reason != api.ReasonDeadline {
		t.Errorf("counted as %+v", e)
	}
}

// TestRunWhoseWaiterIsGoneIsOver, though its command lives.
func TestRunWhoseWaiterIsGoneIsOver(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, waiter, program := runCaller(t)
	_, s := w.beginRun(caller, Run{Program: program})
	_ = waiter.Signal(unix.SIGKILL)
	s.until(t, "kill containers")
	_ = caller.Signal(unix.SIGKILL)
	if e := w.end(); e.reason != api.ReasonOwnerExited {
		t.Errorf("counted as %+v", e)
	}
}

// TestRunIsShownWithItsCommandAsOwner: buildwatchctl is who waits for it.
func TestRunIsShownWithItsCommandAsOwner(t *testing.T) {
	w := newBench(t, longTimeouts)
	caller, waiter, program := runCaller(t)
	b, _ := w.beginRun(caller, Run{Program: program})
	b.mu.Lock()
	b.command = "podman build" // as learnCommand finds out
	b.learn(b.ownerFact(api.ValueLives))
	b.unlock()
	if list := w.List(anybody); list[0].Owner.PID != caller.PID || list[0].Owner.Command != "podman build" {
		t.Errorf("listed is %+v, the command is %d", list[0].Owner, caller.PID)
	}
	if f := w.fact(b.id, api.FactOwner); f.Value != api.ValueLives || f.Command != "podman build" || !slices.Equal(f.PIDs, []int{caller.PID}) {
		t.Errorf("of the owner it is said: %+v", f)
	}
	if f := w.fact(b.id, api.FactWaiters); f.Value != api.ValueWaits || !slices.Equal(f.PIDs, []int{waiter.PID}) {
		t.Errorf("of who waits it is said: %+v", f)
	}
	b.send(message{event: lifecycle.StopRequested})
	_ = caller.Signal(unix.SIGKILL)
	w.end()
}
