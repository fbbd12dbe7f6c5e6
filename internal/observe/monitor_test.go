package observe

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
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

// countedArgs counts how often the arguments of a process are read.
type countedArgs struct {
	arguments
	of   proc.Identity
	read atomic.Int32
}

func (c *countedArgs) Args(ctx context.Context, h *proc.Handle) ([]string, error) {
	if h.Identity == c.of {
		c.read.Add(1)
	}
	return c.arguments.Args(ctx, h)
}

// TestWhatIsNoMonitorIsAskedOnce, such as the API service all through its builds; unless it
// becomes one by execve(2).
func TestWhatIsNoMonitorIsAskedOnce(t *testing.T) {
	const program = "/bin/bash"
	const named = `printf exe >/proc/$$/comm; echo $$; `
	p := proctest.Start(t, exec.Command(program, "-c",
		`(exec -a storage-mountfrom "$0" -c '`+named+`kill -STOP $$; exec -a `+podman.OCIMonitor+` "$0" -c "$1"' "$0" "$1"); true`, program, named+"read wait; true"))
	pid := 0
	next := func() {
		t.Helper()
		if _, err := fmt.Sscan(p.Line(t), &pid); err != nil {
			t.Fatal(err)
		}
	}
	next()
	proctest.Eventually(t, "it has stopped itself", func() bool {
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return bytes.Contains(stat, []byte(") T "))
	})
	f := follower(t)
	h := open(t, pid)
	t.Cleanup(func() { _ = h.Signal(unix.SIGKILL) })
	counted := &countedArgs{arguments: f.names.reader, of: h.Identity}
	f.names.reader = counted
	proctest.Eventually(t, "it is known as none", func() bool {
		f.look()
		return f.others[counted.of] != 0
	})
	asked := counted.read.Load()
	for range 3 {
		f.look()
	}
	if again := counted.read.Load(); again != asked || f.steps[counted.of] != nil {
		t.Errorf("it is asked %d times more, and is a step: %v", again-asked, f.steps[counted.of])
	}
	if err := h.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	next()
	proctest.Eventually(t, "what it has become is seen", func() bool {
		f.look()
		return f.steps[counted.of] != nil
	})
	f.close()
}
