package observe

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestWhichProcessBelowAMonitorIsTheSteps: one in namespaces that were made for it.
func TestWhichProcessBelowAMonitorIsTheSteps(t *testing.T) {
	monitor := namespaces{mnt: "monitor's", uts: "monitor's", pid: "host's"}
	found := namespaces{mnt: "of before", uts: "of before", pid: "host's"}
	host := namespaces{mnt: "host's", uts: "host's", pid: "host's"}
	for _, test := range []struct {
		name    string
		its     namespaces
		monitor namespaces
		apart   bool
		want    bool
	}{
		{"a PID namespace of its own", namespaces{"own", "monitor's", "own"}, monitor, false, true},
		{"a UTS namespace of its own", namespaces{"own", "own", "host's"}, monitor, false, true},
		{"the OCI runtime", namespaces{"monitor's", "monitor's", "host's"}, monitor, false, false},
		{"the OCI runtime, in another cgroup", namespaces{"monitor's", "monitor's", "host's"}, monitor, true, false},
		{"a helper in the host's namespaces", namespaces{"monitor's", "host's", "host's"}, monitor, false, false},
		{"one that is where the monitor was", namespaces{"monitor's", "of before", "host's"}, monitor, false, false},
		{"a mount namespace of its own, and a cgroup", namespaces{"own", "monitor's", "host's"}, monitor, true, true},
		{"a mount namespace alone: a thread's of the monitor", namespaces{"own", "monitor's", "host's"}, monitor, false, false},
		{"the host's mounts, and another cgroup", namespaces{"host's", "monitor's", "host's"}, monitor, true, false},
		{"the mounts of before, and another cgroup", namespaces{"of before", "monitor's", "host's"}, monitor, true, false},
		{"mounts that are not known", namespaces{"", "own", "own"}, monitor, true, false},
		{"a UTS namespace that is not known", namespaces{"own", "", "own"}, monitor, true, false},
		{"a PID namespace that is not known", namespaces{"own", "own", ""}, monitor, true, false},
		{"below a monitor whose mounts are not known", namespaces{"own", "own", "own"}, namespaces{"", "monitor's", "host's"}, true, false},
		{"below a monitor whose UTS namespace is not known", namespaces{"own", "own", "own"}, namespaces{"monitor's", "", "host's"}, true, false},
	} {
		if got := isInside(test.its, test.monitor, found, host, test.apart); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// stepOf is a step whose monitor is the process.
func stepOf(t *testing.T, monitor *proc.Handle, o Options) *Step {
	t.Helper()
	o.Reader = proc.NewReader()
	if o.Placed == nil {
		o.Placed = func(string) bool { return false }
	}
	o.Passing = func(string) bool { return false }
	f := New(o)
	program, err := monitor.Program()
	if err != nil {
		t.Fatal(err)
	}
	s := &Step{Monitor: monitor, Builder: open(t, selfPID), UID: uint32(os.Getuid()), follower: f, program: program.FileID, outside: f.host}
	t.Cleanup(func() {
		for _, h := range s.held {
			h.Close()
		}
		s.held = nil
		s.giveBack()
	})
	return s
}

// TestOnlyWhatIsInTheStepIsHeld: below its monitor there are also the OCI runtime, with its
// hooks, and what the builder has started for itself.
func TestOnlyWhatIsInTheStepIsHeld(t *testing.T) {
	const script = `
cat <&0 & runtime=$! # each ends with the test's end of the pipe
unshare $1 --uts cat <&0 & step=$!
unshare $1 --uts bash -c 'cat <&0 & echo inner $!; wait' <&0 & helper=$!
until [ "$(readlink /proc/$step/ns/uts)" != "$(readlink /proc/$$/ns/uts)" ]; do sleep 0.01; done
echo outer $$ $runtime $step $helper; wait`
	user := ""
	if os.Getuid() != 0 {
		user = "--user"
	}
	p := proctest.Start(t, exec.Command("/bin/bash", "-c", script, "bash", user))
	var inner, monitor, runtime, step, helper int
	for range 2 {
		line := p.Line(t)
		_, err := fmt.Sscanf(line, "inner %d", &inner)
		if err != nil {
			_, err = fmt.Sscanf(line, "outer %d %d %d %d", &monitor, &runtime, &step, &helper)
		}
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	s := stepOf(t, open(t, monitor), Options{})
	all, err := look()
	if err != nil {
		t.Fatal(err)
	}
	s.enter(s.Monitor, all.view().below, map[proc.Identity]bool{})
	held := map[int]bool{}
	for _, h := range s.held {
		held[h.PID] = true
	}
	if !held[step] || !held[inner] || held[runtime] || held[helper] || len(held) != 2 {
		t.Errorf("held are %v; the step is %d and %d, the OCI runtime %d, the builder's own %d", held, step, inner, runtime, helper)
	}
}

// TestProcessIsHeldForAReasonOnly: its PID in a list is none.
func TestProcessIsHeldForAReasonOnly(t *testing.T) {
	child := proctest.Shell(t, "")
	h := open(t, child.Process.Pid)
	s := stepOf(t, open(t, selfPID), Options{})
	e := entry{Identity: h.Identity}
	s.take(e, map[proc.Identity]bool{}, func(*proc.Handle) bool { return false })
	if len(s.held) != 0 {
		t.Error("it is held without a reason")
	}
	s.take(entry{Identity: proc.Identity{PID: h.PID, Start: h.Start + 1}}, map[proc.Identity]bool{}, func(*proc.Handle) bool { return true })
	if len(s.held) != 0 {
		t.Error("a process that was started at another time is held")
	}
	s.take(e, map[proc.Identity]bool{}, func(h *proc.Handle) bool { return h.PID == e.PID })
	if len(s.held) != 1 {
		t.Error("it is not held")
	}
}

// TestWhatTheBuildsUserCouldNotEndIsLeftOut of those that are ended.
func TestWhatTheBuildsUserCouldNotEndIsLeftOut(t *testing.T) {
	child := proctest.Shell(t, "")
	s := stepOf(t, open(t, selfPID), Options{})
	s.take(entry{Identity: open(t, child.Process.Pid).Identity}, map[proc.Identity]bool{}, func(*proc.Handle) bool { return true })
	if alive := s.Alive(); len(alive) != 1 {
		t.Errorf("%d of its user's are there", len(alive))
	}
	s.UID++
	if alive := s.Alive(); len(alive) != 0 {
		t.Error("another user's process is among them")
	}
}

// TestStepOfABuildsScopeIsNotObserved: its place says so, and nothing of it is followed.
func TestStepOfABuildsScopeIsNotObserved(t *testing.T) {
	child := open(t, proctest.Shell(t, "").Process.Pid)
	for _, placed := range []bool{false, true} {
		s := stepOf(t, open(t, selfPID), Options{Placed: func(string) bool { return placed }})
		s.take(entry{Identity: child.Identity}, map[proc.Identity]bool{}, func(*proc.Handle) bool { return true })
		s.findPlace()
		if !s.looked || s.placed != placed {
			t.Errorf("in a scope: %v; placed: %v", placed, s.placed)
		}
	}
}

// TestContainerThatIsMadeByABuilderInARunIsObserved: its first process begins in the run's scope,
// as all of the builder's, and is then moved to a cgroup of its own.
func TestContainerThatIsMadeByABuilderInARunIsObserved(t *testing.T) {
	p := proctest.Start(t, exec.Command("/bin/bash", "-c", `exec 3<&0; (read wait <&3; true) & echo $!; wait`))
	var forked int
	if _, err := fmt.Sscan(p.Line(t), &forked); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		pid    int
		chroot bool
		looked bool
	}{
		{"it has executed nothing yet", forked, false, false},
		{"a chroot step stays there", forked, true, true},
		{"it runs its own program there", p.Process.Pid, false, true},
	} {
		s := stepOf(t, open(t, selfPID), Options{Placed: func(string) bool { return true }})
		s.chroot = row.chroot
		s.take(entry{Identity: open(t, row.pid).Identity}, map[proc.Identity]bool{}, func(*proc.Handle) bool { return true })
		s.findPlace()
		if s.looked != row.looked || s.placed != row.looked {
			t.Errorf("%s: looked: %v, placed: %v", row.name, s.looked, s.placed)
		}
	}
}

// TestCopyInMemoryIsTrustedAsItsOriginalIs, where root runs both.
func TestCopyInMemoryIsTrustedAsItsOriginalIs(t *testing.T) {
	p := &programs{systems: map[device]bool{{8, 1}: true}}
	original := proc.Program{FileID: proc.FileID{Major: 8, Minor: 1, Inode: 7}, Exe: "/usr/bin/buildah", Size: 99}
	elsewhere := original
	elsewhere.Minor = 2
	copied := proc.Program{FileID: proc.FileID{Minor: 5, Inode: 1}, Exe: "/memfd:buildah (deleted)", Size: 99}
	larger := copied
	larger.Size++
	for _, test := range []struct {
		name             string
		copied, original proc.Program
		parents          uint32
		want             bool
	}{
		{"its parent's", copied, original, 0, true},
		{"root's below a user", copied, original, 1000, false},
		{"a program in a container", copied, elsewhere, 0, false},
		{"another program than the parent's", larger, original, 0, false},
	} {
		if got := p.trustsCopy(test.copied, test.original, test.parents); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestAboveABuilderAreItsParentsAndTheFirstProcess: to one of them the kernel gives what a
// step has orphaned, and to nobody else.
func TestAboveABuilderAreItsParentsAndTheFirstProcess(t *testing.T) {
	builder, beside := open(t, proctest.Shell(t, "").Process.Pid), open(t, proctest.Shell(t, "").Process.Pid)
	all := above(builder)
	for _, pid := range []int{builder.PID, selfPID, os.Getppid(), 1} {
		if h, err := proc.Open(pid); err != nil {
			t.Error(err)
		} else {
			if !all[h.Identity] {
				t.Errorf("%d is not above it", pid)
			}
			h.Close()
		}
	}
	if all[beside.Identity] {
		t.Error("another child of its parent's is above it")
	}
	if !builder.Alive() {
		t.Error("the builder is held no longer")
	}
}

// TestFileSystemsThatProgramsAreInstalledOnAreTrusted, and others are not.
func TestFileSystemsThatProgramsAreInstalledOnAreTrusted(t *testing.T) {
	p := &programs{systems: map[device]bool{}}
	p.refresh()
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, "/usr/bin", 0, unix.STATX_TYPE|unix.STATX_INO, &st); err != nil {
		t.Fatal(err)
	}
	if !p.systems[device{st.Dev_major, st.Dev_minor}] || !p.installed[proc.FileID{Major: st.Dev_major, Minor: st.Dev_minor, Inode: st.Ino}] {
		t.Errorf("that of /usr/bin is not among %v", p.systems)
	}
	if err := unix.Statx(unix.AT_FDCWD, "/proc", 0, unix.STATX_TYPE, &st); err != nil {
		t.Fatal(err)
	}
	if p.systems[device{st.Dev_major, st.Dev_minor}] {
		t.Error("that of /proc is trusted")
	}
}
