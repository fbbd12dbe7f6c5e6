package scopes

import (
	"os/exec"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// TestEndedOrphansAreNoStrangers, as long as nobody else has their PIDs.
func TestEndedOrphansAreNoStrangers(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h, err := proc.Open(cmd.Process.Pid)
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
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := noStranger([]*proc.Handle{h}, where); err != nil {
		t.Errorf("ended: %v", err)
	}
}
