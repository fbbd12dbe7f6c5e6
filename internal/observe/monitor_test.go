package observe

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestForkOfAMonitorIsNoMonitor: between fork(2) and execve(2) it has the monitor's
// name and program, and the monitor, a builder's program too, is its parent.
func TestForkOfAMonitorIsNoMonitor(t *testing.T) {
	const program = "/bin/bash" // root's, as a builder's
	p := proctest.Start(t, exec.Command(program, "-c",
		`(exec -a `+podman.OCIMonitor+` "$0" -c '(echo $BASHPID $$; read wait; true); true'); true`, program))
	var forked, monitor int
	if _, err := fmt.Sscan(p.Line(t), &forked, &monitor); err != nil {
		t.Fatal(err)
	}
	f := follower(t)
	if !f.isStep(t, monitor) {
		t.Error("the monitor is taken for none")
	}
	if f.isStep(t, forked) {
		t.Error("what it has forked is taken for another")
	}
}
