package observe

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// follower trusts the programs on the file system of /bin/bash, which is root's.
func follower(t *testing.T) *Follower {
	t.Helper()
	f := New(Options{Placed: func(string) bool { return false }, Reader: proc.NewReader()})
	f.programs.mounts = ""
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/bin/bash", 0, unix.STATX_BASIC_STATS, &st); err != nil {
		t.Fatal(err)
	}
	f.programs.systems[device{st.Dev_major, st.Dev_minor}] = true
	return f
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

// startMonitor starts a shell that is called as a monitor, below one that is the builder.
func startMonitor(t *testing.T, program, name string) *proc.Handle {
	t.Helper()
	p := proctest.Start(t, exec.Command(program, "-c", `(exec -a `+name+` "$0" -c 'echo $$; read wait; true'); true`, program))
	var pid int
	if _, err := fmt.Sscan(p.Line(t), &pid); err != nil {
		t.Fatal(err)
	}
	return open(t, pid)
}

// isStep reports whether the process is taken for a monitor.
func (f *Follower) isStep(t *testing.T, pid int) bool {
	t.Helper()
	h, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	f.names.ask(h.Identity, 0)
	f.names.wait(10 * time.Second)
	s := f.held(h)
	if s == nil {
		h.Close()
		return false
	}
	s.release()
	return true
}

// TestMonitorIsABuildersOwn: it has the name of one, and runs the file that its parent
// runs, which is on a file system of the host's where root runs it. What that is called
// does not matter: other programs build too.
func TestMonitorIsABuildersOwn(t *testing.T) {
	monitor := startMonitor(t, "/bin/bash", podman.OCIMonitor)
	if !follower(t).isStep(t, monitor.PID) {
		t.Error("it is taken for none")
	}
	other := New(Options{Reader: proc.NewReader()})
	if other.programs.mounts = "mnt:[1]"; other.isStep(t, monitor.PID) != (os.Getuid() != 0) {
		t.Error("in a container a user's builder is believed, and root's is not")
	}
	f := follower(t)
	f.host.pid = "pid:[1]"
	if f.isStep(t, monitor.PID) {
		t.Error("a builder in another PID namespace is believed")
	}
	if none := startMonitor(t, "/bin/bash", "buildah"); follower(t).isStep(t, none.PID) {
		t.Error("another process of the builder's is taken for one")
	}
}

// TestMonitorAndBuilderAreOneUsers, in the daemon's PID namespace, and the builder lives.
func TestMonitorAndBuilderAreOneUsers(t *testing.T) {
	f := New(Options{})
	for _, test := range []struct {
		name string
		pair
		want bool
	}{
		{"a build", pair{1000, 1000, f.host.pid, true}, true},
		{"a builder of another user", pair{1000, 0, f.host.pid, true}, false},
		{"a monitor of root's below a user's builder", pair{0, 1000, f.host.pid, true}, false},
		{"in a container", pair{1000, 1000, "pid:[1]", true}, false},
		{"a builder of which no more is known", pair{1000, 1000, "", true}, false},
		{"a builder that has ended: its PID may be another's", pair{1000, 1000, f.host.pid, false}, false},
	} {
		if got := f.believes(test.pair); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// inMemory copies bash to a file in memory, with some bytes after it.
func inMemory(t *testing.T, more int) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("buildah-in-a-user-namespace", 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "memory")
	t.Cleanup(func() { _ = file.Close() })
	content, err := os.ReadFile("/bin/bash")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(append(content, make([]byte, more)...)); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCopyInMemoryIsItsParentsProgram, if it is as large, and that is trusted: so a
// buildah runs that could not mount its own file. A user's may be any.
func TestCopyInMemoryIsItsParentsProgram(t *testing.T) {
	for _, row := range []struct {
		name    string
		outer   []string // starts what follows, and waits
		more    int
		trusted bool
	}{
		{"a copy", []string{"/bin/bash", "-c", `"$@"; true`, "bash"}, 0, true},
		{"of another size", []string{"/bin/bash", "-c", `"$@"; true`, "bash"}, 1, false},
		{"below another program", []string{"timeout", "600"}, 0, false},
	} {
		inner := []string{"/proc/self/fd/3", "-c", `(exec -a ` + podman.OCIMonitor + ` /proc/self/fd/3 -c 'echo $$; read wait; true'); true`}
		args := slices.Concat(row.outer, inner)
		cmd := exec.Command(args[0], args[1:]...)
		cmd.ExtraFiles = []*os.File{inMemory(t, row.more)}
		p := proctest.Start(t, cmd)
		var monitor int
		if _, err := fmt.Sscan(p.Line(t), &monitor); err != nil {
			t.Fatal(err)
		}
		if got := follower(t).isStep(t, monitor); got != (row.trusted || os.Getuid() != 0) {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

// TestWhichProcessesAreWorthALook: the rest costs no look at a command line.
func TestWhichProcessesAreWorthALook(t *testing.T) {
	const memory = "/memfd:buildah-chroot-runtime (deleted)"
	for _, test := range []struct {
		comm, exe, above string
		want             bool
	}{
		{"exe", "/usr/bin/podman", "/usr/bin/podman", true},
		{"7", "/usr/bin/buildah", "/usr/bin/buildah", true},
		{"exe", "/usr/bin/podman (deleted)", "/usr/bin/podman (deleted)", true},
		{"exe", "/", "/", true}, // rootless buildah
		{"3", memory, "/", true},
		{"3", memory, "/usr/bin/podman", true},
		{"3", memory, "/memfd:buildah-in-a-user-namespace (deleted)", true},
		{"exe", "/opt/own-builder", "/opt/own-builder", true},
		{"bash", "/bin/bash", "/bin/bash", false},
		{"exe", "/bin/bash", "/bin/dash", false},
		{"3", memory, "/opt/own-builder", true},
		{"3", "/", "/opt/own-builder", true},
		{"exe", "", "", false}, // kernel threads
	} {
		if got := mayBeMonitor(test.comm, test.exe, test.above); got != test.want {
			t.Errorf("%q running %q below %q: %v", test.comm, test.exe, test.above, got)
		}
	}
}

// TestProcessIsItsUsersInAllItsUIDs: what the user could not end is not ended for them.
func TestProcessIsItsUsersInAllItsUIDs(t *testing.T) {
	const user, root, other = 1000, 0, 1001
	for _, test := range []struct {
		name   string
		uids   [4]uint32
		nested bool
		owner  uint32
		want   bool
	}{
		{"the user's", [4]uint32{user, user, user, user}, false, 0, true},
		{"set-user-ID to root", [4]uint32{user, root, root, root}, false, 0, false},
		{"real UID of another", [4]uint32{other, user, user, user}, false, 0, false},
		{"saved UID of another", [4]uint32{user, user, root, user}, false, 0, false},
		{"file system UID of another", [4]uint32{user, user, user, root}, false, 0, false},
		{"root's", [4]uint32{}, false, user, false},
		{"a subordinate UID in the user's namespace", [4]uint32{100001, 100001, 100001, 100001}, true, user, true},
		{"the user's UID in another's namespace", [4]uint32{user, user, user, user}, true, other, false},
	} {
		if got := isOf(user, test.uids, test.nested, test.owner); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	self := open(t, selfPID)
	mine := uint32(os.Getuid())
	if !belongs(self, mine) || belongs(self, mine+1) || !belongs(self, 0) {
		t.Errorf("this process: %v for its user, %v for another, %v for root", belongs(self, mine), belongs(self, mine+1), belongs(self, 0))
	}
}

// TestParentThatHasEndedHasNoChildren: its PID may be another's by now, whose children
// these are.
func TestParentThatHasEndedHasNoChildren(t *testing.T) {
	child := proctest.Shell(t, "")
	stat, err := open(t, child.Process.Pid).Stat()
	if err != nil {
		t.Fatal(err)
	}
	e := entry{Identity: proc.Identity{PID: child.Process.Pid, Start: stat.Starttime}, ppid: selfPID}
	if h := childOf(open(t, selfPID), e); h == nil {
		t.Fatal("a child is none")
	} else {
		h.Close()
	}
	gone := proctest.Shell(t, "")
	dead := open(t, gone.Process.Pid)
	gone.End()
	_ = gone.Wait()
	dead.PID = selfPID // used again
	if h := childOf(dead, e); h != nil {
		h.Close()
		t.Error("the child of another process is taken for the step's")
	}
	late := e
	late.Start++
	if h := childOf(open(t, selfPID), late); h != nil {
		h.Close()
		t.Error("a process that was started at another time is taken for the child")
	}
	if h := childOf(open(t, os.Getppid()), e); h != nil {
		h.Close()
		t.Error("another's child is taken for the step's")
	}
}

// TestNamespaceIsTheStepsOnlyIfNobodyElseIsInIt.
func TestNamespaceIsTheStepsOnlyIfNobodyElseIsInIt(t *testing.T) {
	for _, test := range []struct {
		name string
		relation
		want verdict
	}{
		{"orphaned by the step", relation{monitored: true, above: true}, orphan},
		{"a container that was there before", relation{monitored: true, older: true}, stranger},
		{"the same, whose conmon has ended", relation{monitored: true, older: true, above: true}, stranger},
		{"the same, below another one", relation{monitored: true, older: true, inside: true}, stranger},
		{"a container that has joined", relation{monitored: true}, stranger},
		{"nsenter, which has lost its parent", relation{monitored: true, above: true, outdoors: true}, stranger},
		{"given to another process of the step", relation{monitored: true, inside: true}, unclear},
		{"orphaned in a container's PID namespace", relation{monitored: true, reaped: true}, orphan},
		{"the container's own, in the step's namespace", relation{monitored: true, reaped: true, outdoors: true}, stranger},
		{"the same, from before the step", relation{monitored: true, reaped: true, older: true}, stranger},
		{"nobody's, beside one that is held", relation{beside: true}, orphan},
		{"nobody's, elsewhere", relation{}, stranger},
		{"beside a step whose monitor is known, of another parent", relation{monitored: true, beside: true}, stranger},
	} {
		if got := test.relation.verdict(); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestStepIsMissedOnlyWhenMonitorAndBuilderHaveEnded: while one of them lives it says what is the
// step's. A cgroup's name alone, without a bundle that was seen, is nobody's.
func TestStepIsMissedOnlyWhenMonitorAndBuilderHaveEnded(t *testing.T) {
	held := func(lives bool) *proc.Handle {
		child := proctest.Shell(t, "")
		h := open(t, child.Process.Pid)
		if !lives {
			child.End()
			_ = child.Wait()
		}
		return h
	}
	for name, row := range map[string]struct {
		monitor, builder bool // live
		bundle           string
		told, placed     bool
		want             bool
	}{
		"both have ended":       {bundle: "buildah1", want: true},
		"the builder lives":     {builder: true, bundle: "buildah1"},
		"the monitor lives":     {monitor: true, bundle: "buildah1"},
		"no bundle was seen":    {},
		"it was told of":        {bundle: "buildah1", told: true},
		"it is in a scope":      {bundle: "buildah1", placed: true},
		"nothing of it is over": {monitor: true, builder: true, bundle: "buildah1"},
	} {
		s := &Step{Monitor: held(row.monitor), Builder: held(row.builder), bundle: row.bundle, told: row.told, placed: row.placed}
		if got := s.missed(); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
