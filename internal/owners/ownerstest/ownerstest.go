// Package ownerstest starts families of processes as a build has them, for unit tests.
package ownerstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// monitorEnv is what the monitor is to be called.
const monitorEnv = "MONITOR_NAME"

// Roles are those of a family's processes, and of no other.
var Roles = proctest.Roles{
	"builder": func([]string) error { return beParent(os.Getenv(monitorEnv), "monitor") },
	"monitor": func([]string) error { return beParent("caller", "caller") },
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
	cmd := proctest.InRole(proctest.Copy(t, proctest.Self(t), program), "builder", args...)
	cmd.Env = append(cmd.Env, monitorEnv+"="+name)
	p := proctest.Start(t, cmd)
	p.Ready(t)
	caller, err := proc.Open(childOf(t, childOf(t, p.Process.Pid)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caller.Close)
	return p.Cmd, caller
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
