package observe

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestForkOfAMonitorIsNoMonitor: between fork(2) and execve(2) it has the monitor's
// name and program, and the monitor, a builder's program too, is its parent.
func TestForkOfAMonitorIsNoMonitor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root's programs are believed to be builders")
	}
	program := proctest.Copy(t, "/bin/bash", "podman")
	p := proctest.Start(t, exec.Command(program, "-c",
		`(exec -a `+podman.OCIMonitor+` "$0" -c '(echo $BASHPID $$; read wait; true); true'); true`, program))
	var forked, monitor int
	if _, err := fmt.Sscan(p.Line(t), &forked, &monitor); err != nil {
		t.Fatal(err)
	}
	f := New(Options{Reader: proc.NewReader()})
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, program, 0, unix.STATX_BASIC_STATS, &st); err != nil {
		t.Fatal(err)
	}
	f.programs.systems[[2]uint32{st.Dev_major, st.Dev_minor}] = true
	seen := func(pid int) bool {
		h, err := proc.Open(pid)
		if err != nil {
			t.Fatal(err)
		}
		f.names.ask(h.Identity)
		f.names.wait(10 * time.Second)
		s := f.held(h)
		if s == nil {
			h.Close()
			return false
		}
		s.release()
		return true
	}
	if !seen(monitor) {
		t.Error("the monitor is taken for none")
	}
	if seen(forked) {
		t.Error("what it has forked is taken for another")
	}
}
