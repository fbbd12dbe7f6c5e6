//go:build integration

package integration

import (
	"encoding/json"
	"io"
	"os/exec"
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

	// In a shell, as of a person.
	shell := exec.Command("bash", "-c", `stty -a >/tmp/before-top; TERM=xterm `+ctl+` top --delay 0.2; echo status:$?; stty -a >/tmp/after-top`)
	var out lockedBuffer
	terminal, err := pty.StartWithSize(shell, &pty.Winsize{Rows: 24, Cols: 80})
	must(t, err)
	defer terminal.Close()
	go func() { _, _ = io.Copy(&out, terminal) }()
	see := func(text string) {
		t.Helper()
		eventually(t, func() (string, bool) { return out.String(), strings.Contains(out.String(), text) })
	}
	press := func(keys string) {
		t.Helper()
		_, err := terminal.WriteString(keys)
		must(t, err)
	}
	see(view.ID)
	press("\r")
	see("Build: " + view.ID)
	press("s")
	see("Stop build " + view.ID + ",")
	press("y")
	b.wait()
	eventually(t, func() (string, bool) { return out.String(), len(listed(t)) == 0 })
	press("\x03")
	see("status:0")
	_ = shell.Wait()
	if diff, err := try("diff /tmp/before-top /tmp/after-top"); err != nil {
		t.Errorf("the terminal is not what it was: %s", diff)
	}
	if ended := sh(t, "%s show %s --format '{{.Reason}}'", ctl, view.ID); ended != "stopped" && ended != "stopped\n" {
		t.Errorf("it has ended by %q", ended)
	}
}
