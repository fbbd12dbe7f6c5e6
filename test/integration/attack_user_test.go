//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// pidOf waits for the one process that has the command line.
func pidOf(t *testing.T, line string) int {
	t.Helper()
	pid := 0
	eventually(t, func() (string, bool) {
		out, err := try("pgrep --exact --full %s", quoted(line))
		pid, _ = strconv.Atoi(out)
		return fmt.Sprintf("%s: processes %q", line, strings.Fields(out)), err == nil && pid > 0
	})
	return pid
}

func holdPID(t *testing.T, pid int) *proc.Handle {
	t.Helper()
	h, err := proc.Open(pid)
	must(t, err)
	t.Cleanup(h.Close)
	return h
}

// TestAttack26SetuidProgramInAUsersScope: the user could not end it. What is in the
// scope of their build is ended with it all the same, and nothing else that is root's.
func TestAttack26SetuidProgramInAUsersScope(t *testing.T) {
	unharmed := underAttack(t)
	dir, err := os.MkdirTemp("/opt", "setuid-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	self, err := os.Executable()
	must(t, err)
	program := dir + "/program"
	sh(t, "chmod 755 %s; install -m 4755 %s %s", dir, self, program)
	others := startProgram(t, root, "sleep 1012", false)
	run := command(builder, runArgs("--", "sh", "-c", roleEnv+"='become root' "+program+" sleep 1013 & exec sleep 1014")...)
	must(t, run.Start())
	t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
	inside := holdPID(t, pidOf(t, "sleep 1013"))
	if uids, err := inside.UIDs(); err != nil || uids != [4]uint32{} {
		t.Fatalf("its UIDs are %v, %v", uids, err)
	}
	id := ""
	for _, view := range listed(t) {
		if where, _ := inside.Cgroup(); view.Cgroup != "" && strings.HasPrefix(where, view.Cgroup+"/") {
			id = view.ID
		}
	}
	if _, err := builder.try("kill -KILL %d", inside.PID); err == nil {
		t.Error("the user could end it by themselves")
	}
	builder.sh(t, "%s stop %s", ctl, id)
	allGone(t, []*proc.Handle{inside})
	if !others.alive() {
		t.Error("another of root's processes was ended")
	}
	unharmed()
}

// TestAttack27UserMovesProcessesOut of their scope, by PID 1's leave. Of a RUN
// container all is in its PID namespace and ends with it, wherever it is. Of a run,
// what has left is neither seen nor ended: that is said in docs/security.md. Nothing
// else of the user's, where it went to, is touched.
func TestAttack27UserMovesProcessesOut(t *testing.T) {
	attach := func(t *testing.T, pid int) {
		t.Helper()
		builder.sh(t, "busctl --system call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager AttachProcessesToUnit ssau user@%d.service /app.slice 1 %d", userIDs[builder], pid)
		if where := sh(t, "cat /proc/%d/cgroup | grep ^0::", pid); !strings.Contains(where, "user@") {
			t.Fatalf("process %d is in %s", pid, where)
		}
	}
	sh(t, "systemctl start user@%d.service", userIDs[builder])
	t.Run("of a RUN container", func(t *testing.T) {
		unharmed := underAttack(t)
		bystander := startProgram(t, builder, "systemd-run --user --quiet --scope sleep 1020", false)
		p := startRootless(t, builder, family, "--network=none")
		view := listedOf(t, builder, familySize)
		held := hold(t, view)
		var sleeps []int
		eventually(t, func() (string, bool) { // what was forked is called as its shell until it is something else
			sleeps = nil
			for _, h := range held {
				if out := sh(t, "tr '\\0' ' ' < /proc/%d/cmdline", h.PID); strings.Contains(out, "sleep 100") && !strings.Contains(out, "&") {
					sleeps = append(sleeps, h.PID)
				}
			}
			return fmt.Sprintf("%d of %d sleep", len(sleeps), len(held)), len(sleeps) == familySize-1
		})
		for _, pid := range sleeps {
			attach(t, pid)
		}
		time.Sleep(time.Second)
		if after := listedOf(t, builder, 1); after.ID != view.ID || after.State != view.State {
			t.Errorf("listed as %+v", after)
		}
		p.signal(t, 9)
		allGone(t, held)
		if !bystander.alive() {
			t.Error("another of the user's processes was ended")
		}
		unharmed()
	})
	t.Run("of a run", func(t *testing.T) {
		unharmed := underAttack(t)
		run := command(builder, runArgs("--", "sh", "-c", "sleep 1021 & exec sleep 1022")...)
		must(t, run.Start())
		t.Cleanup(func() { _ = run.Process.Kill(); _ = run.Wait() })
		stays, leaves := holdPID(t, pidOf(t, "sleep 1022")), holdPID(t, pidOf(t, "sleep 1021"))
		view := listedOf(t, builder, 2)
		attach(t, leaves.PID)
		if after := listedOf(t, builder, 1); after.ID != view.ID || after.Processes != 1 {
			t.Errorf("listed as %+v", after)
		}
		builder.sh(t, "%s stop %s", ctl, view.ID)
		allGone(t, []*proc.Handle{stays})
		if !leaves.Alive() {
			t.Error("it was ended, and docs/security.md says that it is not")
		}
		must(t, leaves.Signal(9))
		unharmed()
	})
}

// becomeRoot is a role, of a program that is set-user-ID to root: it gives up its
// user's UID, as sudo does, and becomes the command.
func becomeRoot(command []string) error {
	if err := syscall.Setresuid(0, 0, 0); err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, command, nil)
}
