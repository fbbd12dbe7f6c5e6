package proc

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestProcessWhoseFirstThreadHasEnded lives: it has a program, namespaces and a
// cgroup, and obeys SIGKILL.
func TestProcessWhoseFirstThreadHasEnded(t *testing.T) {
	c := proctest.Leaderless(t)
	pid := c.Process.Pid
	h, err := Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	look, err := Look(pid)
	if err != nil || look.State != "Z" || look.Exe != proctest.Self(t) || !h.Alive() {
		t.Fatalf("looked at as %+v, %v", look, err)
	}
	if exe, err := h.Exe(); err != nil || exe != look.Exe || Exe(pid) != exe {
		t.Errorf("it runs %q, %v", exe, err)
	}
	for _, kind := range []string{"mnt", "uts", "pid", "user"} {
		file, err := OpenNamespace(pid, kind)
		if err != nil {
			t.Errorf("its %s namespace: %v", kind, err)
			continue
		}
		file.Close()
		if in := Namespace(pid, kind); in == "" || in != Namespace(os.Getpid(), kind) {
			t.Errorf("it is in %q", in)
		}
	}
	live := 0
	for dir := range Dirs(pid) {
		if _, err := os.Readlink(dir + "/exe"); err == nil {
			live++
		}
	}
	entries, err := os.ReadDir("/proc/self/task")
	if live == 0 || err != nil {
		t.Errorf("%d of its threads live, %v", live, err)
	}
	for _, entry := range entries { // of ours, for which the answer is known
		var tid int
		for _, digit := range entry.Name() {
			tid = 10*tid + int(digit-'0')
		}
		if group, err := ThreadGroup(tid); err != nil && !os.IsNotExist(err) || err == nil && group != os.Getpid() {
			t.Errorf("thread %d is of %d, %v", tid, group, err)
		}
	}
	if where, err := h.CgroupOfThread(pid); err != nil || where != Cgroup(os.Getpid()) {
		t.Errorf("it is in %q, %v", where, err)
	}
	if err := h.Signal(unix.SIGKILL); err != nil {
		t.Error(err)
	}
	if status := c.Status(); status.Signal() != unix.SIGKILL {
		t.Errorf("it ended by %v", status)
	}
	if Exe(pid) != "" || Namespace(pid, "mnt") != "" {
		t.Error("one that has ended has a program")
	}
	if _, err := OpenNamespace(pid, "mnt"); err == nil {
		t.Error("one that has ended has namespaces")
	}
	if _, err := h.CgroupOfThread(pid); err == nil {
		t.Error("one that has ended is in a cgroup")
	}
}
