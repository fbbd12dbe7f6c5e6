package scopes

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// patience is longer than anything here takes, but in a broken test.
const patience = 10 * time.Second

func TestMain(m *testing.M) {
	proctest.Roles{}.Play()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if program, err := buildKeeper(); err == nil {
			_ = os.RemoveAll(filepath.Dir(program))
		}
		os.Exit(status)
	}))
}

// mountOf is where the cgroup v2 hierarchy is mounted here: not always where
// systemd has it.
func mountOf() (string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// Source: proc_pid_mountinfo(5).
		mount, kind, _ := strings.Cut(lines.Text(), " - ")
		if fields := strings.Fields(mount); strings.HasPrefix(kind, "cgroup2 ") && len(fields) > 4 {
			return fields[4], nil
		}
	}
	return "", errors.New("no cgroup v2 hierarchy is mounted")
}

// realCgroups gives a test the hierarchy, and an empty cgroup of its own in it,
// which goes with everything in it when the test ends. Root can always have one,
// and must: the test fails if not. Other users are rarely allowed to.
func realCgroups(t testing.TB) (root, own *cgroup) {
	t.Helper()
	root, own, err := makeOwn(t)
	switch {
	case err == nil:
		return root, own
	case os.Geteuid() == 0:
		t.Fatalf("root has no cgroup to test with: %v", err)
	default:
		t.Skipf("a user without a cgroup to test with: %v", err)
	}
	return nil, nil
}

func makeOwn(t testing.TB) (root, own *cgroup, err error) {
	mount, err := mountOf()
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(mount, "buildwatch-unit-")
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { removeTree(t, dir) })
	if root, err = openRoot(mount); err != nil {
		return nil, nil, err
	}
	t.Cleanup(root.close)
	if own, err = root.sub(filepath.Base(dir)); err != nil {
		return nil, nil, err
	}
	t.Cleanup(own.close)
	return root, own, nil
}

// removeTree ends what is in a cgroup and removes it.
func removeTree(t testing.TB, dir string) {
	_ = os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	proctest.Eventually(t, dir+" is removed", func() bool {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			_ = os.Remove(d)
		}
		_, err := os.Stat(dir)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// in makes a command start in the cgroup, or where the test is if that is nil.
func in(c *cgroup) func(*exec.Cmd) {
	return func(cmd *exec.Cmd) {
		if c != nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(c.dir.Fd())}
		}
	}
}

// startIn starts a shell in the cgroup. It runs script, and then lives until it is
// told to end.
func startIn(t *testing.T, c *cgroup, script string) *proctest.Child {
	t.Helper()
	return proctest.Shell(t, script, in(c))
}

func makeSub(t *testing.T, c *cgroup, name string) *cgroup {
	t.Helper()
	sub, err := c.ensure(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sub.close)
	return sub
}

func wantPopulated(t *testing.T, c *cgroup, want bool) {
	t.Helper()
	if got, err := c.populated(); err != nil || got != want {
		t.Errorf("populated of %s = %v, %v; want %v", c.path, got, err, want)
	}
}

// waitEmptyShort is waitEmpty with a bound that only a broken test meets.
func waitEmptyShort(t *testing.T, c *cgroup) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.waitEmpty(ctx); err != nil {
		t.Fatalf("waitEmpty of %s: %v", c.path, err)
	}
}

func TestWaitEmptyWakesWhenTheLastProcessEnds(t *testing.T) {
	_, own := realCgroups(t)
	inner := makeSub(t, own, "inner")
	quickest := patience
	for range 5 {
		first, last := startIn(t, own, ""), startIn(t, inner, "")
		wantPopulated(t, own, true)
		done := make(chan error, 1)
		go func() { done <- own.waitEmpty(context.Background()) }()
		first.End()
		_ = first.Wait()
		select {
		case err := <-done:
			t.Fatalf("it returns %v, and a process is left", err)
		default:
		}
		ended := time.Now()
		last.End()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("it does not wake")
		}
		quickest = min(quickest, time.Since(ended))
		wantPopulated(t, own, false) // a zombie is in no cgroup that is populated
	}
	if quickest > recheck/2 {
		t.Errorf("it took %v at best: the kernel's word is not heard", quickest)
	}
}

func TestWaitEmptyEndsWithTheContext(t *testing.T) {
	_, own := realCgroups(t)
	startIn(t, own, "")
	for name, makeContext := range map[string]func() (context.Context, context.CancelFunc){
		"cancelled before": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx, cancel
		},
		"time out": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), 10*time.Millisecond)
		},
		"cancelled after a recheck": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(recheck+recheck/5, cancel)
			return ctx, cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := makeContext()
			defer cancel()
			started := time.Now()
			if err := own.waitEmpty(ctx); err == nil || !errors.Is(err, ctx.Err()) {
				t.Errorf("waitEmpty = %v, the context's error is %v", err, ctx.Err())
			}
			if took := time.Since(started); took > recheck+time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	wantPopulated(t, own, true)
}

func TestRemovedCgroupIsEmpty(t *testing.T) {
	_, own := realCgroups(t)
	c := makeSub(t, own, "c")
	if err := os.Remove(c.mountPath(t)); err != nil {
		t.Fatal(err)
	}
	wantPopulated(t, c, false)
	waitEmptyShort(t, c)
	if members := c.members(); len(members) != 0 {
		t.Errorf("members %v", members)
	}
	if err := c.kill(); !isGone(err) {
		t.Errorf("kill = %v", err)
	}
	if _, err := c.cpuTime(); !isGone(err) {
		t.Errorf("cpuTime: %v", err)
	}
	// Another of the same name is another.
	second := makeSub(t, own, "c")
	startIn(t, second, "")
	wantPopulated(t, c, false)
	s := &Scope{dir: c, uid: 0}
	if busy, err := s.Busy(); busy || err != nil {
		t.Errorf("Busy = %v, %v", busy, err)
	}
	if s.Joinable() || s.CPUTime() != 0 || len(s.Members()) != 0 {
		t.Error("a scope that is gone is joinable, has used time or has members")
	}
	if err := s.CgroupKill(context.Background()); err != nil {
		t.Errorf("CgroupKill = %v", err)
	}
	wantPopulated(t, second, true)
}

// mountPath is the cgroup's path in the file system.
func (c *cgroup) mountPath(t *testing.T) string {
	t.Helper()
	mount, err := mountOf()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(mount, c.path)
}

// Attack 24: processes that ignore signals, leave their parents and their
// session, and freeze themselves.
func TestKillEndsWhateverIsThere(t *testing.T) {
	const daemonized = `( ( trap "" HUP INT TERM; setsid sleep 1000 <&- >&- 2>&- ) & )`
	_, own := realCgroups(t)
	inner := makeSub(t, own, "inner")
	leader := startIn(t, own, `trap "" HUP INT TERM`)
	startIn(t, inner, daemonized)
	proctest.Eventually(t, "there is a daemonized one too", func() bool { return len(own.members()) == 3 })
	outside := startIn(t, nil, "")
	if err := inner.write("cgroup.freeze", "1"); err != nil {
		t.Fatal(err)
	}
	if err := own.kill(); err != nil {
		t.Fatal(err)
	}
	waitEmptyShort(t, own)
	if members := own.members(); len(members) != 0 {
		t.Errorf("left: %v", members)
	}
	_ = leader.Wait()
	if status := leader.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("the leader ended by %v", status)
	}
	if err := outside.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process outside: %v", err)
	}
}

func TestMembersAreListedWithTheirCgroup(t *testing.T) {
	_, own := realCgroups(t)
	odd := makeSub(t, own, "x\x1b[31m (deleted)")
	deep := makeSub(t, odd, "run-buildah-buildah1")
	want := map[int]string{}
	for _, c := range []*cgroup{own, odd, deep} {
		want[startIn(t, c, "").Process.Pid] = c.path
	}
	got := own.members()
	if len(got) != len(want) {
		t.Errorf("members %v, want %v", got, want)
	}
	for _, m := range got {
		if want[m.PID] != m.Cgroup {
			t.Errorf("%d is in %q, want %q", m.PID, m.Cgroup, want[m.PID])
		}
	}
	if err := deep.attach(os.Getpid() + 1<<22); err == nil {
		t.Error("a process that does not exist was moved")
	}
}

// Attack 23: depth and width bombs.
func TestWalkIsBounded(t *testing.T) {
	_, own := realCgroups(t)
	chain := []*cgroup{own}
	for range maxDepth + 1 {
		chain = append(chain, makeSub(t, chain[len(chain)-1], "n"))
	}
	p := startIn(t, nil, "")
	for _, row := range []struct{ depth, members int }{{0, 1}, {maxDepth, 1}, {maxDepth + 1, 0}} {
		if err := chain[row.depth].attach(p.Process.Pid); err != nil {
			t.Fatal(err)
		}
		if got := own.members(); len(got) != row.members {
			t.Errorf("at depth %d: members %v, want %d", row.depth, got, row.members)
		}
		wantPopulated(t, own, true) // the kernel's word has no bound
	}
	if err := own.attach(p.Process.Pid); err != nil {
		t.Fatal(err)
	}

	wide := makeSub(t, own, "wide")
	for i := range 20 {
		startInAll(t, makeSub(t, wide, fmt.Sprint(i)))
	}
	looked, left := -1, 7 // but for the one that they are in
	wide.eachBelow(maxDepth, &left, func(*cgroup) { looked++ })
	if looked != 7 || left >= 0 {
		t.Errorf("%d of 20 were looked at, %d left; want 7", looked, left)
	}
}

// startInAll starts a process in the cgroup that costs little.
func startInAll(t *testing.T, c *cgroup) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	in(c)(cmd)
	proctest.Start(t, cmd)
}

// Attack 22: a user makes a cgroup of its own threaded.
func TestThreadedCgroupsHideNobody(t *testing.T) {
	_, own := realCgroups(t)
	threaded := makeSub(t, own, "threaded")
	p := startIn(t, own, "")
	if err := threaded.write("cgroup.type", "threaded"); err != nil {
		t.Fatal(err)
	}
	if err := threaded.write("cgroup.threads", fmt.Sprint(p.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	if members := own.members(); len(members) != 1 || members[0].PID != p.Process.Pid {
		t.Errorf("members %v", members)
	}
	wantPopulated(t, own, true)
}

// Attack 22: a user makes the leaf threaded, where no process can be moved to.
func TestThreadedLeafIsMadeAnew(t *testing.T) {
	_, own := realCgroups(t)
	leaf := makeSub(t, makeSub(t, own, payloadDir), wire.Leaf)
	if err := leaf.write("cgroup.type", "threaded"); err != nil {
		t.Fatal(err)
	}
	s := &Scope{dir: own, unit: "test"}
	p := startIn(t, nil, "")
	if err := s.Enter(p.Process.Pid, func() error { return nil }, func() bool { return true }); err != nil {
		t.Error(err)
	}
	if where, err := proc.CgroupOf(p.Process.Pid); err != nil || where != leaf.path {
		t.Errorf("the caller is in %q, %v", where, err)
	}
}

func TestCPUTimeIsTheKernels(t *testing.T) {
	_, own := realCgroups(t)
	p := startIn(t, own, `i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done`)
	used, err := own.cpuTime()
	if err != nil || used <= 0 || used > time.Minute {
		t.Errorf("cpuTime = %v, %v", used, err)
	}
	p.End()
	waitEmptyShort(t, own)
	if after, err := own.cpuTime(); err != nil || after < used {
		t.Errorf("cpuTime afterwards = %v, %v; %v before", after, err, used)
	}
}

func TestEnterMovesTheCallerIntoTheLeaf(t *testing.T) {
	root, own := realCgroups(t)
	makeSub(t, own, payloadDir)
	s := &Scope{manager: &Manager{root: root}, dir: own, unit: "test"}
	yes := func() bool { return true }
	p := startIn(t, nil, "")
	pid := p.Process.Pid
	before, err := proc.CgroupOf(pid)
	if err != nil {
		t.Fatal(err)
	}

	no := errors.New("no")
	if err := s.Enter(pid, func() error { return no }, yes); !errors.Is(err, no) {
		t.Errorf("Enter = %v", err)
	}
	if where, err := proc.CgroupOf(pid); err != nil || where != before {
		t.Errorf("act said no, and the caller is in %q, %v", where, err)
	}
	if busy, err := s.Busy(); busy || err != nil {
		t.Errorf("Busy = %v, %v", busy, err)
	}

	if err := s.Enter(pid, func() error { return nil }, yes); err != nil {
		t.Fatal(err)
	}
	leaf := own.path + "/payload/leaf"
	if where, err := proc.CgroupOf(pid); err != nil || where != leaf {
		t.Errorf("the caller is in %q, %v; want %q", where, err, leaf)
	}
	if want := own.path + "/payload/run-c"; s.CgroupsPath("c") != want {
		t.Errorf("the container's cgroup is %q, want %q", s.CgroupsPath("c"), want)
	}
	if members := s.Members(); len(members) != 1 || members[0] != (Member{pid, leaf}) {
		t.Errorf("members %v", members)
	}
	if busy, err := s.Busy(); !busy || err != nil {
		t.Errorf("Busy = %v, %v", busy, err)
	}

	// Attack 22: the leaf is removed between two steps.
	p.End()
	waitEmptyShort(t, own)
	if err := os.Remove(filepath.Join(own.mountPath(t), "payload", "leaf")); err != nil {
		t.Fatal(err)
	}
	q := startIn(t, nil, "")
	if err := s.Enter(q.Process.Pid, func() error { return nil }, yes); err != nil {
		t.Errorf("without a leaf: %v", err)
	}

	// Attack 1: the caller has ended, and its PID was another's for all we know.
	if err := s.Enter(q.Process.Pid, func() error { return nil }, func() bool { return false }); !errors.Is(err, ErrLeft) {
		t.Errorf("a caller that ended: %v; want ErrLeft", err)
	}
	// What was moved in its place is where it was.
	if where, err := proc.CgroupOf(q.Process.Pid); err != nil || where != before {
		t.Errorf("who has the PID now is in %q, %v; want %q", where, err, before)
	}
	_ = q.Process.Kill()
	_ = q.Wait()
	if err := s.Enter(q.Process.Pid, func() error { return nil }, yes); err == nil {
		t.Error("a process that is not there was moved")
	}
}

func TestDelegatedCgroupIsTheUsersAndNoMore(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give something to another user")
	}
	_, own := realCgroups(t)
	const uid, gid = 54321, 54322
	makeSub(t, own, payloadDir)
	s := &Scope{dir: own, unit: "test", uid: uid, gid: gid}
	p := startIn(t, nil, "")
	if err := s.Enter(p.Process.Pid, func() error { return nil }, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	for name, theirs := range map[string]bool{
		"payload/leaf": true, "payload/leaf/cgroup.procs": true, "payload/leaf/cgroup.threads": true, "payload/leaf/cgroup.subtree_control": true,
		"payload/leaf/cgroup.kill": false, "payload/leaf/cgroup.max.depth": false, ".": false, "cgroup.procs": false, "cgroup.kill": false,
	} {
		info, err := os.Stat(filepath.Join(own.mountPath(t), name))
		if err != nil {
			t.Error(err)
			continue
		}
		if st := info.Sys().(*syscall.Stat_t); (st.Uid == uid && st.Gid == gid) != theirs {
			t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
		}
	}
}
