package scopes

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestProcessesWhoseFirstThreadHasEndedAreKilled, with their cgroup, wherever that
// thread was when it ended; and nobody who is elsewhere.
func TestProcessesWhoseFirstThreadHasEndedAreKilled(t *testing.T) {
	_, own := realCgroups(t)
	sub := makeSub(t, own, "build")
	stranger := startIn(t, own, "")
	born, ordinary := proctest.Leaderless(t, in(sub)), startIn(t, sub, "")
	moved := proctest.Leaderless(t)
	if err := sub.attach(moved.Process.Pid); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := sub.killAll(ctx); err != nil {
		t.Error(err)
	}
	waitEmptyShort(t, sub)
	for name, c := range map[string]*proctest.Child{"born here": born, "moved here": moved, "like any other": ordinary} {
		if status := c.Status(); status.Signal() != unix.SIGKILL {
			t.Errorf("the one %s ended by %v", name, status)
		}
	}
	h, err := proc.Open(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if !h.Alive() {
		t.Error("who is elsewhere was killed")
	}
}

// TestProcessThatWasMovedWithoutItsFirstThreadIsShown, and where it is.
func TestProcessThatWasMovedWithoutItsFirstThreadIsShown(t *testing.T) {
	_, own := realCgroups(t)
	sub := makeSub(t, own, "build")
	moved := proctest.Leaderless(t)
	pid := moved.Process.Pid
	if err := sub.attach(pid); err != nil {
		t.Fatal(err)
	}
	wantPopulated(t, own, true)
	if got := own.members(); len(got) != 1 || got[0].PID != pid {
		t.Errorf("members are %v, want %d", got, pid)
	}
	h, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if where, err := h.Cgroup(); err != nil || where != sub.path {
		t.Errorf("it is in %q, %v; want %s", where, err, sub.path)
	}
	// Its end is not awaited for ever: told once, it can only be waited for.
	told := map[proc.Identity]bool{h.Identity: true}
	if err := sub.signalLeft(told); err != nil || len(told) != 1 || !h.Alive() {
		t.Errorf("one that has its signal got another: %v, %v", told, err)
	}
}
