// Package ownerstest starts families of processes as a build has them, for unit tests.
package ownerstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// monitorEnv is what the monitor is to be called.
const monitorEnv = "MONITOR_NAME"

// Roles are those of a family's processes, and of no other.
var Roles = proctest.Roles{
	"supervisor": func([]string) error { return beParent(os.Args[0], "builder") },
	"builder":    func([]string) error { return beParent(os.Getenv(monitorEnv), "monitor") },
	"monitor":    func([]string) error { return beParent("caller", "caller") },
	"caller": func([]string) error {
		proctest.Ready()
		proctest.UntilTold()
		return nil
	},
}

// beParent starts a child under a name and in a role, and waits for its end,
// however that comes.
func beParent(name, role string) error {
	cmd := proctest.InRole("/proc/self/exe", role)
	cmd.Args[0] = name
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	_ = cmd.Run()
	return nil
}

// Start starts builder, monitor and caller, each the other's parent, and returns the
// builder and a handle of the caller. The builder's program is called program, the monitor
// name. The test's own must call Roles.Play.
func Start(t *testing.T, program, name string, args ...string) (builder *exec.Cmd, caller *proc.Handle) {
	t.Helper()
	first := start(t, "builder", program, name, args...)
	return first, open(t, childOf(t, childOf(t, first.Process.Pid)))
}

// StartSupervised starts a family below another process of the builder's program, and returns
// that one, the builder and the caller.
func StartSupervised(t *testing.T, program string) (supervisor *exec.Cmd, builder, caller *proc.Handle) {
	t.Helper()
	first := start(t, "supervisor", program, podman.OCIMonitor)
	pid := childOf(t, first.Process.Pid)
	return first, open(t, pid), open(t, childOf(t, childOf(t, pid)))
}

// start starts a family, and returns the first of it.
func start(t *testing.T, role, program, monitor string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := proctest.InRole(proctest.Copy(t, proctest.Self(t), program), role, args...)
	cmd.Env = append(cmd.Env, monitorEnv+"="+monitor)
	p := proctest.Start(t, cmd)
	p.Ready(t)
	return p.Cmd
}

func open(t *testing.T, pid int) *proc.Handle {
	t.Helper()
	h, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func childOf(t *testing.T, pid int) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range stats {
		var child int
		for _, c := range filepath.Base(dir) {
			child = child*10 + int(c-'0')
		}
		if look, err := proc.Look(child); err == nil && look.PPID == pid {
			return child
		}
	}
	t.Fatalf("%d has no child", pid)
	return 0
}
