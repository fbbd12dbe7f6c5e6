//go:build integration

package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/buildwatch/buildwatch/api"
)

// TestTopShowsWhatABuildUsesAndStopsIt: at a terminal by a key and a yes, and the terminal
// is what it was; in a pipe a table, with what the kernel counts.
func TestTopShowsWhatABuildUsesAndStopsIt(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	b := startBuild(t, `RUN echo started; head -c 20000000 /dev/zero | tail >/tmp/x; while :; do :; done`)
	view := b.supervised(1)
	eventually(t, func() (string, bool) {
		text := sh(t, "%s top --batch --iterations 2 --delay 0.5", ctl)
		_, last, _ := strings.Cut(text, "\n\n")
		for line := range strings.Lines(last) {
			fields := strings.Fields(line)
			if len(fields) > 5 && fields[0] == view.ID {
				return text, fields[1] == "running" && fields[2] != "0" // it counts
			}
		}
		return text, false
	})
	var looked []api.Build
	must(t, json.Unmarshal([]byte(sh(t, "%s list --json", ctl)), &looked))
	memory := strings.Contains(sh(t, "cat /sys/fs/cgroup/cgroup.controllers"), "memory")
	if len(looked) != 1 || (looked[0].MemoryBytes > 0) != memory {
		t.Errorf("memory controller %v: %+v", memory, looked)
	}

	a := startAtTerminal(t, pty.Winsize{Rows: 24, Cols: 80}, `stty -a >/tmp/before-top; TERM=xterm `+ctl+` top --delay 0.2; echo status:$?; stty -a >/tmp/after-top`)
	a.see(view.ID)
	a.press("\r")
	a.see("Build: " + view.ID)
	a.press("s")
	a.see("Stop build " + view.ID + ",")
	a.press("y")
	b.wait()
	eventually(t, func() (string, bool) { return a.shown.String(), len(listed(t)) == 0 })
	a.press("\x03")
	a.see("status:0")
	_ = a.shell.Wait()
	if diff, err := try("diff /tmp/before-top /tmp/after-top"); err != nil {
		t.Errorf("the terminal is not what it was: %s", diff)
	}
	if ended := sh(t, "%s show %s --format '{{.Reason}}'", ctl, view.ID); ended != "stopped" && ended != "stopped\n" {
		t.Errorf("it has ended by %q", ended)
	}
}
