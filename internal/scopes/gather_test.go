package scopes

import (
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
	if err := noStranger([]*proc.Handle{h}, where); err != nil {
		t.Errorf("alive: %v", err)
	}
	p.End()
	p.Status()
	if err := noStranger([]*proc.Handle{h}, where); err != nil {
		t.Errorf("ended: %v", err)
	}
}
