package scopes

import (
	"os"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestEndedOrphansAreNoStrangers, as long as nobody else has their PIDs.
func TestEndedOrphansAreNoStrangers(t *testing.T) {
	p := proctest.Shell(t, "")
	h, err := proc.Open(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	where, err := proc.CgroupOf(h.PID)
	if err != nil {
		t.Fatal(err)
	}
	root, _ := realCgroups(t)
	m := &Manager{root: root}
	if err := m.noStranger([]*proc.Handle{h}, where); err != nil {
		t.Errorf("alive: %v", err)
	}
	p.End()
	p.Status()
	if err := m.noStranger([]*proc.Handle{h}, where); err != nil {
		t.Errorf("ended: %v", err)
	}
}

// TestStrangerWithAnOrphansPIDIsMovedBack: the kernel and systemd 252 move whoever has
// the PID.
func TestStrangerWithAnOrphansPIDIsMovedBack(t *testing.T) {
	root, own := realCgroups(t)
	m := &Manager{root: root}
	home, err := proc.CgroupOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	inside := makeSub(t, own, "inside")
	stranger := startIn(t, inside, "")
	if err := m.putBack(stranger.Process.Pid, own.path+"/other"); err != nil {
		t.Fatal(err)
	}
	if where, _ := proc.CgroupOf(stranger.Process.Pid); where != inside.path {
		t.Errorf("a process that is elsewhere was moved, to %q", where)
	}
	if err := m.putBack(stranger.Process.Pid, own.path); err != nil {
		t.Fatal(err)
	}
	if where, _ := proc.CgroupOf(stranger.Process.Pid); where != home {
		t.Errorf("the stranger is in %q, its parent in %q", where, home)
	}
}
