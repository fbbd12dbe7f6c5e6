package survivors

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// connection7 is the FUSE connection of these tests: the mount of a directory.
const connection7 = 7

// fixture is a directory that is taken for a FUSE mount, and one process that may use it.
type fixture struct {
	*Examiner
	dir   string
	child *proctest.Child
	p     process
	scan  scan
}

func newExaminer(t *testing.T) *Examiner {
	t.Helper()
	e, err := New(true, proc.NewReader())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// newFixture starts a shell that runs the script, in which $DIR is the mount. It is
// the only process of the scan, and lives in the test's mount namespace.
func newFixture(t *testing.T, script string) *fixture {
	t.Helper()
	f := &fixture{Examiner: newExaminer(t), dir: t.TempDir()}
	file, err := os.Create(filepath.Join(f.dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f.child = proctest.Shell(t, script, func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), "DIR="+f.dir) })
	all, err := f.processes()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(p process) bool { return p.PID == f.child.Process.Pid })
	if i < 0 {
		t.Fatal("the process is not there")
	}
	f.p = all[i]
	id := mountIDOf("/proc/self/fdinfo/" + strconv.Itoa(int(file.Fd())))
	f.scan = scan{
		processes: []process{f.p}, held: map[int][]uint32{}, mountIDs: map[int]uint32{id: connection7},
		tables: map[string][]mount{f.p.namespace: {
			{id: 1, device: 1, root: "/", point: "/"},
			{id: id, device: connection7, root: "/", point: f.dir, fuse: true},
		}},
	}
	return f
}

// devices returns the file systems of which the process has mapped files.
func (f *fixture) devices(t *testing.T) []uint32 {
	t.Helper()
	all, err := f.p.ProcMaps()
	if err != nil {
		t.Fatal(err)
	}
	var devices []uint32
	for _, m := range all {
		if m.Dev != 0 {
			devices = append(devices, unix.Major(m.Dev)<<20|unix.Minor(m.Dev))
		}
	}
	return devices
}

// TestWhoUsesAMount: each row is one way to use it, or not to.
func TestWhoUsesAMount(t *testing.T) {
	t.Parallel()
	self := uint32(os.Getuid())
	for _, row := range []struct {
		name, script string
		change       func(t *testing.T, f *fixture)
		mounter      uint32
		others       bool
		home         []string // nil for the process's own
		used         bool
	}{
		{name: "it does nothing there", mounter: self},
		{name: "a file is open", script: `exec 7<"$DIR/file"`, mounter: self, used: true},
		{name: "a file is open, of another's mount", script: `exec 7<"$DIR/file"`, mounter: self + 1, used: true},
		{name: "its directory is there", script: `cd "$DIR"`, mounter: self, used: true},
		{name: "its directory is there, where only another may go", script: `cd "$DIR"`, mounter: self + 1},
		{name: "its directory is there, where others may go", script: `cd "$DIR"`, mounter: self + 1, others: true, used: true},
		{name: "it waits in the kernel", mounter: self, used: true, change: func(_ *testing.T, f *fixture) {
			f.scan.processes[0].state = "D"
		}},
		{name: "it waits in the kernel, where it sees no such mount", mounter: self, change: func(_ *testing.T, f *fixture) {
			f.scan.processes[0].state = "D"
			f.scan.tables[f.p.namespace] = f.scan.tables[f.p.namespace][:1]
		}},
		{name: "its program is mapped from there", mounter: self, used: true, change: func(t *testing.T, f *fixture) {
			f.scan.tables[f.p.namespace][1].device = f.devices(t)[0]
			f.scan.mountIDs = nil
		}},
		{name: "its namespace has a mount of its own", mounter: self, home: []string{"mnt:[1]"}, used: true},
		{name: "its namespace has a copy", mounter: self, home: []string{"mnt:[1]"}, change: func(_ *testing.T, f *fixture) {
			f.scan.tables["mnt:[1]"] = f.scan.tables[f.p.namespace]
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFixture(t, row.script)
			if row.change != nil {
				row.change(t, f)
			}
			if row.home == nil {
				row.home = []string{f.p.namespace}
			}
			device := f.scan.tables[f.p.namespace][len(f.scan.tables[f.p.namespace])-1].device
			if device == 1 {
				device = connection7
			}
			nobody := func(process) bool { return false }
			want := 0
			if row.used {
				want = f.p.PID
			}
			if got, err := f.user(t.Context(), f.scan, device, row.mounter, row.others, row.home, nobody); err != nil || got != want {
				t.Errorf("process %d uses it, %v; want %d", got, err, want)
			}
			excused := func(p process) bool { return p.PID == f.p.PID }
			if got, err := f.user(t.Context(), f.scan, device, row.mounter, row.others, row.home, excused); err != nil || got != 0 {
				t.Errorf("process %d uses it, %v, though it is excused", got, err)
			}
		})
	}
}

// fakeConnection is a control directory that is the test's own user's.
func fakeConnection(t *testing.T, waiting string) (conn opened, aborted func() string) {
	t.Helper()
	path := t.TempDir()
	for name, content := range map[string]string{"waiting": waiting, "abort": ""} {
		if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return opened{connection: connection{dir}}, func() string {
		content, err := os.ReadFile(filepath.Join(path, "abort"))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
}

// TestConnectionThatSomebodyElseUsesIsNotAborted: the rule on a connection that is
// looked at, not only on facts. Each row changes one thing.
func TestConnectionThatSomebodyElseUsesIsNotAborted(t *testing.T) {
	t.Parallel()
	const inUse = `exec 7<"$DIR/file"`
	broken := errors.New("broken")
	for _, row := range []struct {
		name, script string
		waiting      string
		since        time.Duration
		change       func(f *fixture, c *Case, s *sight, left *Remains)
		want         api.Abort
		by           bool // the process
	}{
		{name: "nobody uses it", waiting: "3\n", since: time.Minute, want: api.AbortDone},
		{name: "somebody uses it", script: inUse, waiting: "3\n", since: time.Minute, want: api.AbortUsed, by: true},
		{name: "the build uses it", script: inUse, waiting: "3\n", since: time.Minute, want: api.AbortDone,
			change: func(f *fixture, _ *Case, _ *sight, left *Remains) { left.PIDs = []int{f.p.PID} }},
		{name: "its builder uses it", script: inUse, waiting: "3\n", since: time.Minute, want: api.AbortDone,
			change: func(f *fixture, _ *Case, _ *sight, left *Remains) { left.Builders = []int{f.p.PID} }},
		{name: "its server uses it", script: inUse, waiting: "3\n", since: time.Minute, want: api.AbortDone,
			change: func(f *fixture, _ *Case, _ *sight, _ *Remains) { f.scan.held[f.p.PID] = []uint32{connection7} }},
		{name: "another connection's server uses it", script: inUse, waiting: "3\n", since: time.Minute, want: api.AbortUsed, by: true,
			change: func(f *fixture, _ *Case, _ *sight, _ *Remains) { f.scan.held[f.p.PID] = []uint32{connection7 + 1} }},
		{name: "its user serves it for others too", waiting: "3\n", since: time.Minute, want: api.AbortServer, by: true,
			change: func(f *fixture, _ *Case, s *sight, _ *Remains) {
				f.scan.held[f.p.PID] = []uint32{connection7}
				s.threads = []thread{{namespace: f.p.namespace, mounts: []mount{{device: connection7, others: true}}}}
			}},
		{name: "its user serves it, another mount is for others", waiting: "3\n", since: time.Minute, want: api.AbortDone,
			change: func(f *fixture, _ *Case, s *sight, _ *Remains) {
				f.scan.held[f.p.PID] = []uint32{connection7}
				s.threads = []thread{{namespace: f.p.namespace, mounts: []mount{{device: connection7 + 1, others: true}}}}
			}},
		{name: "it has just begun to wait", waiting: "3\n", want: api.AbortLater},
		{name: "it began to wait less than a second ago", waiting: "3\n", since: time.Millisecond, want: api.AbortLater},
		{name: "nothing waits", waiting: "0\n", since: time.Minute, want: api.AbortNotNeeded},
		{name: "what waits can't be read", waiting: "x\n", since: time.Minute, want: api.AbortUnsure},
		{name: "another's build", waiting: "3\n", since: time.Minute, want: api.AbortMounter,
			change: func(_ *fixture, c *Case, _ *sight, _ *Remains) { c.uid++ }},
		{name: "switched off", waiting: "3\n", since: time.Minute, want: api.AbortOff,
			change: func(f *fixture, _ *Case, _ *sight, _ *Remains) { f.aborts = false }},
		{name: "the host could not be looked through", waiting: "3\n", since: time.Minute, want: api.AbortUnsure,
			change: func(_ *fixture, _ *Case, s *sight, _ *Remains) { s.hostErr = broken }},
		{name: "the host was not looked through", waiting: "3\n", since: time.Minute, want: api.AbortUnsure,
			change: func(f *fixture, _ *Case, _ *sight, _ *Remains) { f.scan.processes = nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := newFixture(t, row.script)
			conn, aborted := fakeConnection(t, row.waiting)
			c := f.Open(uint32(os.Getuid()))
			if row.since > 0 {
				c.waited[connection7] = time.Now().Add(-row.since)
			}
			seen, left := sight{threads: []thread{{namespace: f.p.namespace}}}, Remains{}
			if row.change != nil {
				row.change(f, c, &seen, &left)
			}
			seen.host = f.scan
			v := c.judge(t.Context(), connection7, conn, seen, left)
			by := 0
			if row.by {
				by = f.p.PID
			}
			if v.abort != row.want || v.by != by {
				t.Errorf("the verdict is %+v; want %s by %d", v, row.want, by)
			}
			if wrote := aborted(); (wrote == "1") != (row.want == api.AbortDone) {
				t.Errorf("to abort was written %q", wrote)
			}
		})
	}
}

// TestOnlyTheOwnersHelpersAreTheBuilds: one that is older than the build's owner, or
// serves neither its containers nor its builders' scopes, is somebody else's.
func TestOnlyTheOwnersHelpersAreTheBuilds(t *testing.T) {
	t.Parallel()
	owner, builder := proc.Identity{PID: 100, Start: 5000}, proc.Identity{PID: 200, Start: 6000}
	builders, roots := []proc.Identity{owner, builder}, []uint32{7, 8}
	const scope, other = "/user.slice/podman-200.scope", "/user.slice/podman-201.scope"
	for _, row := range []struct {
		name   string
		held   []uint32
		cgroup string
		start  uint64
		want   uint32
		ok     bool
	}{
		{"it serves a container's root", []uint32{8}, other, 5001, 8, true},
		{"beside another mount", []uint32{9, 7}, other, 5001, 7, true},
		{"it was started by a builder", []uint32{9}, scope, 5001, 9, true},
		{"in the owner's scope", []uint32{9}, "/user.slice/podman-100.scope", 5001, 9, true},
		{"it started in the owner's first moment", []uint32{7}, other, 5000, 7, true},
		{"it is older than its owner", []uint32{7}, scope, 4999, 0, false},
		{"it serves another's root", []uint32{9}, other, 5001, 0, false},
		{"it serves nothing", nil, scope, 5001, 0, false},
		{"a name that only looks like the scope's", []uint32{9}, "/user.slice/xpodman-200.scope", 5001, 0, false},
	} {
		if got, ok := serves(row.held, row.cgroup, row.start, builders, roots); got != row.want || ok != row.ok {
			t.Errorf("%s: %d, %v; want %d, %v", row.name, got, ok, row.want, row.ok)
		}
	}
}

// TestOnlyTheHostsFuseOverlayfsIsAHelper: a program of that name that a user could
// have made is none, nor is another one of root's.
func TestOnlyTheHostsFuseOverlayfsIsAHelper(t *testing.T) {
	t.Parallel()
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		mode os.FileMode
		uid  int
		want bool
	}{
		{"fuse-overlayfs", 0o755, 0, true},
		{"fuse-overlayfs", 0o777, 0, false},
		{"fuse-overlayfs", 0o755, 1000, false},
		{"overlayfs", 0o755, 0, false},
	} {
		if os.Getuid() != 0 {
			row.want = false // its file is the test's user's
		}
		program := proctest.Copy(t, shell, row.name)
		if os.Getuid() == 0 {
			if err := errors.Join(os.Chown(program, row.uid, -1), os.Chmod(program, row.mode)); err != nil {
				t.Fatal(err)
			}
		}
		child := proctest.Shell(t, "", func(cmd *exec.Cmd) { cmd.Path = program })
		all, err := newExaminer(t).processes()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, p := range all {
			if p.PID != child.Process.Pid {
				continue
			}
			if found = true; p.isHelper() != row.want {
				t.Errorf("%+v is one: %v", row, !row.want)
			}
		}
		if !found {
			t.Error("the process is not there")
		}
	}
}

// TestHelpersFileIsRootsAlone, of that name, wherever it is installed.
func TestHelpersFileIsRootsAlone(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		exe  string
		uid  uint32
		mode uint16
		want bool
	}{
		{"/usr/bin/fuse-overlayfs", 0, 0o755, true},
		{"/opt/fuse-overlayfs (deleted)", 0, 0o755, true},
		{"/usr/bin/fuse-overlayfs", 1000, 0o755, false},
		{"/usr/bin/fuse-overlayfs", 0, 0o775, false},
		{"/usr/bin/fuse-overlayfs", 0, 0o757, false},
		{"/usr/bin/sshfs", 0, 0o755, false},
	} {
		if got := isHelperFile(row.exe, unix.Statx_t{Uid: row.uid, Mode: unix.S_IFREG | row.mode}); got != row.want {
			t.Errorf("%+v: %v", row, got)
		}
	}
}

// TestHelperEndsOnceNobodyUsesItsMount by SIGTERM, or else by SIGKILL; what somebody
// uses stays.
func TestHelperEndsOnceNobodyUsesItsMount(t *testing.T) {
	t.Parallel()
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var root uint32 // what everybody uses
	for line := range strings.Lines(string(info)) {
		if fields := strings.Fields(line); fields[4] == "/" {
			root, _ = parseDevice(fields[2])
		}
	}
	const unused = 1<<20 - 1
	for _, row := range []struct {
		name, script string
		connection   uint32
		gone         bool // before it is looked at
		ended        bool
		signal       unix.Signal // by which it has ended in the end; 0 for not
	}{
		{"nobody uses it", "", unused, false, true, unix.SIGTERM},
		{"nobody uses it, and it does not end", `trap "" TERM`, unused, false, false, unix.SIGKILL},
		{"somebody uses it", "", root, false, false, 0},
		{"it has ended", "", root, true, true, unix.SIGHUP},
	} {
		t.Run(row.name, func(t *testing.T) {
			child := proctest.Shell(t, row.script)
			handle, err := proc.Open(child.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			defer handle.Close()
			if row.gone {
				_ = handle.Signal(unix.SIGHUP)
				child.Status()
			}
			h := &Helper{Handle: handle, connection: row.connection, examiner: newExaminer(t), uid: uint32(os.Getuid())}
			// Its own use is none: the kernel's root is everybody else's too.
			patience := 10 * time.Second
			if row.signal == unix.SIGKILL {
				patience = 50 * time.Millisecond
			}
			ended, err := h.End(context.Background(), patience)
			if ended != row.ended || err != nil {
				t.Errorf("ended: %v, %v", ended, err)
			}
			if row.signal == 0 {
				if !handle.Alive() {
					t.Error("it has ended")
				}
				return
			}
			if status := child.Status(); status.Signal() != row.signal {
				t.Errorf("it ended by %v, want %v", status.Signal(), row.signal)
			}
		})
	}
}
