package scopes

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestScopeWithACommand: the command has a cgroup of its own beside the containers',
// and either can be ended without the other.
func TestScopeWithACommand(t *testing.T) {
	const uid = 54321
	m, f := newManager(t)
	s, err := m.Start(short(t), Spec{
		ID: "bcdfghjk", UID: uid, GID: uid, Owner: pidfd(t, startIn(t, nil, "")), Record: []byte("x"), Command: true,
		Limits:     []limits.Value{{Name: "TasksMax", Value: uint64(7)}, {Name: "AllowedCPUs", Value: []byte{3}}},
		RuntimeMax: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if f.props["TasksMax"] != uint64(7) || !slices.Equal(f.props["AllowedCPUs"].([]byte), []byte{3}) ||
		f.props["RuntimeMaxUSec"] != uint64(60_000_000) || f.props["KillSignal"] != int32(unix.SIGKILL) {
		t.Errorf("systemd was told %v", f.props)
	}
	info, err := os.Stat(filepath.Join(s.dir.mountPath(t), commandDir))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != uid {
		t.Errorf("the command's cgroup: %v, %v", info, err)
	}
	yes, always := func() error { return nil }, func() bool { return true }
	command, spared, container := startIn(t, nil, ""), startIn(t, nil, ""), startIn(t, nil, "")
	for _, p := range []*proctest.Child{command, spared} {
		if err := s.EnterCommand(p.Process.Pid, yes, always); err != nil {
			t.Fatal(err)
		}
	}
	where, err := proc.CgroupOf(command.Process.Pid)
	if err != nil || where != s.Cgroup()+"/command" || !s.Holds(where) || s.Holds(s.Cgroup()+"x/command") {
		t.Errorf("the command is in %q, %v", where, err)
	}
	if busy, err := s.Busy(); !busy || err != nil {
		t.Errorf("Busy = %v, %v", busy, err)
	}
	if err := s.Enter(container.Process.Pid, yes, always); err != nil {
		t.Fatal(err)
	}
	if members := s.Members(); len(members) != 3 || !strings.HasSuffix(members[2].Cgroup, "/payload/leaf") {
		t.Errorf("members %v", members)
	}
	if err := s.KillContainers(context.Background()); err != nil {
		t.Fatal(err)
	}
	killed(t, container)
	if err := s.SignalCommand(unix.SIGKILL, func(h *proc.Handle) bool { return h.PID == spared.Process.Pid }); err != nil {
		t.Fatal(err)
	}
	killed(t, command)
	if members := s.Members(); len(members) != 1 || members[0].PID != spared.Process.Pid {
		t.Errorf("members %v", members)
	}
}

// killed waits for a process to end by SIGKILL.
func killed(t *testing.T, m *proctest.Child) {
	t.Helper()
	_ = m.Wait()
	if status := m.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGKILL {
		t.Errorf("it ended by %v", m.ProcessState)
	}
}
