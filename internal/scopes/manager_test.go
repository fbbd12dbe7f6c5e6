package scopes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// buildKeeper builds the keeper once for all tests.
var buildKeeper = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "keeper")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "buildwatch-keeper")
	out, err := exec.Command("go", "build", "-o", program, "../../cmd/buildwatch-keeper").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return program, nil
})

func keeperProgram(t *testing.T) string {
	t.Helper()
	program, err := buildKeeper()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// pidfd holds a process.
func pidfd(t *testing.T, m *proctest.Child) *os.File {
	t.Helper()
	fd, err := unix.PidfdOpen(m.Process.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { file.Close() })
	return file
}

func awaitKeeper(t *testing.T, k *keeper) {
	t.Helper()
	select {
	case <-k.done:
	case <-time.After(patience):
		t.Error("the keeper does not end")
	}
}

func TestKeeperEndsWithTheOwner(t *testing.T) {
	owner := startIn(t, nil, "")
	k, err := startKeeper(keeperProgram(t), pidfd(t, owner))
	if err != nil {
		t.Fatal(err)
	}
	defer k.kill()
	if sid, err := unix.Getsid(k.pid); err != nil || sid != k.pid {
		t.Errorf("its session is %d, %v: a terminal could end it", sid, err)
	}
	where := fmt.Sprintf("/proc/%d/", k.pid)
	proctest.Eventually(t, "the keeper runs", func() bool { return proc.HasExeced(k.pid) })
	before, err := os.ReadFile(where + "auxv")
	if err != nil {
		t.Fatal(err)
	}
	k.placed()
	// Begun anew, it has what memory it has from the scope. The kernel puts each program's
	// start elsewhere.
	proctest.Eventually(t, "the keeper begins anew where it was placed", func() bool {
		args, err := os.ReadFile(where + "cmdline")
		after, auxvErr := os.ReadFile(where + "auxv")
		comm, commErr := os.ReadFile(where + "comm")
		return err == nil && auxvErr == nil && commErr == nil && string(comm) == "buildwatch-keep\n" && string(args) == "buildwatch-keeper\x00" && len(after) > 0 && !bytes.Equal(before, after)
	})
	if env, err := os.ReadFile(where + "environ"); err != nil || len(env) != 0 {
		t.Errorf("its environment is %q, %v", env, err)
	}
	if cwd, err := os.Readlink(where + "cwd"); err != nil || cwd != "/" {
		t.Errorf("its working directory is %q, %v", cwd, err)
	}
	for fd := range 3 {
		if to, err := os.Readlink(fmt.Sprintf("%sfd/%d", where, fd)); err != nil || to != os.DevNull {
			t.Errorf("descriptor %d is %q, %v", fd, to, err)
		}
	}
	select {
	case <-k.done:
		t.Fatal("it ended, and the owner lives")
	default:
	}
	owner.End()
	awaitKeeper(t, k)
}

func TestKeeperCanBeEnded(t *testing.T) {
	owner := startIn(t, nil, "")
	k, err := startKeeper(keeperProgram(t), pidfd(t, owner))
	if err != nil {
		t.Fatal(err)
	}
	k.kill()
	awaitKeeper(t, k)
	k.kill()
	if err := owner.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the owner: %v", err)
	}

	if k, err := startKeeper(filepath.Join(t.TempDir(), "none"), pidfd(t, owner)); err == nil {
		k.kill()
		t.Error("a program that is not there was started")
	}
	// Called by hand it waits for nobody.
	without := exec.CommandContext(short(t), keeperProgram(t))
	_ = without.Run()
	if status := without.ProcessState.Sys().(syscall.WaitStatus); !status.Exited() {
		t.Errorf("without an owner: %v", without.ProcessState)
	}
}

// newManager returns a manager that speaks to a fake systemd about real cgroups.
func newManager(t *testing.T) (*Manager, *fakeSystemd) {
	t.Helper()
	root, own := realCgroups(t)
	f := newFakeSystemd(t, own.mountPath(t))
	life, end := context.WithCancel(context.Background())
	connection := func() *bus { return &bus{dial: f.dial, metrics: &counter{}, life: life} }
	// The manager closes its root.
	again, err := root.sub(".")
	if err != nil {
		t.Fatal(err)
	}
	again.path = "/"
	m := &Manager{root: again, keeper: keeperProgram(t), life: life, end: end, placing: connection(), ending: connection(), turns: newTurns(),
		lateStarts: []time.Duration{10 * time.Millisecond, 20 * time.Millisecond}}
	t.Cleanup(m.Close)
	return m, f
}

func startScope(t *testing.T, m *Manager, owner *proctest.Child, uid uint32) *Scope {
	t.Helper()
	s, err := m.Start(short(t), Spec{ID: "bcdfghjk", UID: uid, GID: uid, Owner: pidfd(t, owner), Record: []byte("the record")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestScopeFromStartToStop(t *testing.T) {
	m, f := newManager(t)
	owner := startIn(t, nil, "")
	s := startScope(t, m, owner, 0)
	if s.Unit() != "buildwatch-bcdfghjk.scope" || filepath.Base(s.Cgroup()) != s.Unit() {
		t.Errorf("unit %q in %q", s.Unit(), s.Cgroup())
	}
	if f.mode != "fail" || f.props["Slice"] != systemSlice || f.props["OOMPolicy"] != "continue" {
		t.Errorf("asked for with mode %q and %v", f.mode, f.props)
	}
	if where, err := proc.CgroupOf(s.keeper.pid); err != nil || where != s.Cgroup()+"/"+supervisorDir {
		t.Errorf("the keeper is in %q, %v", where, err)
	}
	if record, err := s.Record(); err != nil || string(record) != "the record" {
		t.Errorf("the record is %q, %v", record, err)
	}
	if busy, err := s.Busy(); busy || err != nil || !s.Joinable() {
		t.Errorf("Busy = %v, %v, Joinable = %v: the keeper is no container", busy, err, s.Joinable())
	}
	if members := s.Members(); len(members) != 0 {
		t.Errorf("members %v: the keeper is no container", members)
	}

	// A second of that name is refused, and leaves the first alone.
	if _, err := m.Start(short(t), Spec{ID: "bcdfghjk", Owner: pidfd(t, owner)}); !errors.Is(err, ErrUnitExists) {
		t.Errorf("a second: %v; want ErrUnitExists", err)
	}

	wrapper := startIn(t, nil, "")
	alive := func() bool { return wrapper.Process.Signal(syscall.Signal(0)) == nil }
	if err := s.Enter(wrapper.Process.Pid, func() error { return nil }, alive); err != nil {
		t.Fatal(err)
	}
	wantPopulated(t, s.dir, true)

	if err := s.Kill(short(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitEmpty(short(t)); err != nil {
		t.Fatal(err)
	}
	awaitKeeper(t, s.keeper)
	if s.Joinable() {
		t.Error("it can be joined")
	}
	if err := s.Stop(short(t)); err != nil {
		t.Fatal(err)
	}
	// Once more, of a unit that is gone.
	if err := errors.Join(s.Kill(short(t)), s.Stop(short(t)), s.CgroupKill(short(t))); err != nil {
		t.Errorf("a unit that is gone: %v", err)
	}
	s.Discard(short(t))
	if busy, err := s.Busy(); busy || err != nil {
		t.Errorf("Busy = %v, %v", busy, err)
	}
	if err := owner.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

func TestScopeEndsWithTheOwnerAloneWhereNothingElseIsInIt(t *testing.T) {
	m, _ := newManager(t)
	owner := startIn(t, nil, "")
	s := startScope(t, m, owner, 0)
	owner.End()
	if err := s.WaitEmpty(short(t)); err != nil {
		t.Errorf("WaitEmpty = %v", err)
	}
}

func TestScopeOfAUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give something to another user")
	}
	const uid = 54321
	m, f := newManager(t)
	s := startScope(t, m, startIn(t, nil, ""), uid)
	if f.props["Slice"] != systemSlice { // the user has no slice
		t.Errorf("it is in %v", f.props["Slice"])
	}
	dir := s.dir.mountPath(t)
	for name, want := range map[string]uint32{
		"": 0, "cgroup.procs": 0, supervisorDir: 0, "supervisor/cgroup.procs": 0,
		"payload": uid, "payload/cgroup.procs": uid, "payload/cgroup.subtree_control": uid, "payload/cgroup.threads": uid,
		"payload/cgroup.max.depth": 0, "payload/cgroup.max.descendants": 0, "payload/cgroup.kill": 0, "payload/cgroup.freeze": 0,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		} else if got := info.Sys().(*syscall.Stat_t).Uid; got != want {
			t.Errorf("%q belongs to %d, want %d", name, got, want)
		}
	}
	// Attack 23: what the user makes is bounded.
	for name, want := range map[string]string{"cgroup.max.depth": userMaxDepth, "cgroup.max.descendants": userMaxDescendants} {
		if got, err := s.dir.read("payload/" + name); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q, %v; want %s", name, got, err, want)
		}
	}
	// Attack 20: the user forges the record.
	forge := exec.Command("python3", "-c", "import os,sys; os.setxattr(sys.argv[1], 'user.buildwatch.build', b'forged')", dir)
	forge.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := forge.Run(); err == nil {
		t.Error("the user can write the record")
	}
	if record, err := s.Record(); err != nil || string(record) != "the record" {
		t.Errorf("the record is %q, %v", record, err)
	}
}

func TestScopeIsFoundAgain(t *testing.T) {
	m, f := newManager(t)
	s := startScope(t, m, startIn(t, nil, ""), 0)
	own, err := m.root.sub(strings.TrimPrefix(f.slices, strings.TrimSuffix(m.root.mountPath(t), "/")+"/"))
	if err != nil {
		t.Fatal(err)
	}
	later := &Manager{root: own}
	defer own.close()
	found := later.Find()
	if len(found) != 1 {
		t.Fatalf("found %d scopes", len(found))
	}
	defer found[0].Close()
	if record, err := found[0].Record(); found[0].Unit() != s.Unit() || err != nil || string(record) != "the record" {
		t.Errorf("found %q with %q, %v", found[0].Unit(), record, err)
	}
	if !found[0].Joinable() {
		t.Error("it can't be joined")
	}
	found[0].manager = m
	if err := found[0].CgroupKill(short(t)); err != nil {
		t.Error(err)
	}
	if err := s.WaitEmpty(short(t)); err != nil {
		t.Error(err)
	}
}

// TestStartLeavesNothingBehind: however it fails.
func TestStartLeavesNothingBehind(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(m *Manager, f *fakeSystemd, cancel func())
		want   error // nil: any
		calls  []string
	}{
		{"systemd refuses", func(_ *Manager, f *fakeSystemd, _ func()) {
			f.refuse["StartTransientUnit"] = dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", nil)
		}, nil, []string{"StartTransientUnit", "StopUnit"}},
		{"the job fails", func(_ *Manager, f *fakeSystemd, _ func()) { f.jobResult = "failed" }, nil, nil},
		{"systemd makes no scope of it", func(_ *Manager, f *fakeSystemd, _ func()) { f.elsewhere = true },
			ErrGone, []string{"StartTransientUnit", "StopUnit"}},
		{"systemd is silent", func(_ *Manager, f *fakeSystemd, cancel func()) {
			f.silent["StartTransientUnit"] = true
			f.onCall = func(method string) {
				if method == "StartTransientUnit" {
					cancel()
				}
			}
		}, nil, []string{"StartTransientUnit", "StopUnit", "StopUnit", "StopUnit"}},
		{"systemd starts it when it was told already to stop it", func(_ *Manager, f *fakeSystemd, cancel func()) {
			f.silent["StartTransientUnit"] = true
			stops := 0
			f.onCall = func(method string) {
				if method == "StartTransientUnit" {
					cancel()
				} else if stops++; stops == 2 {
					dir := filepath.Join(f.slices, "late")
					if err := os.Mkdir(dir, 0o755); err != nil {
						t.Error(err)
					}
					f.set(func() { f.units[UnitName("bcdfghjk")] = dir })
				}
			}
		}, nil, []string{"StartTransientUnit", "StopUnit", "StopUnit", "StopUnit"}},
		{"no keeper", func(m *Manager, _ *fakeSystemd, _ func()) { m.keeper = "/nonexistent" }, nil, []string{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, f := newManager(t)
			ctx, cancel := context.WithCancel(short(t))
			defer cancel()
			row.change(m, f, cancel)
			owner := startIn(t, nil, "")
			before := childrenOf(t)
			s, err := m.Start(ctx, Spec{ID: "bcdfghjk", Owner: pidfd(t, owner), Record: []byte("x")})
			if err == nil || s != nil || row.want != nil && !errors.Is(err, row.want) {
				t.Errorf("Start = %v, %v; want %v", s, err, row.want)
			}
			f.set(func() { f.jobResult = "done" })
			waited := make(chan struct{})
			go func() {
				m.background.Wait()
				close(waited)
			}()
			select {
			case <-waited:
			case <-time.After(patience):
				t.Fatal("the unit is not discarded")
			}
			proctest.Eventually(t, "the keeper is gone", func() bool { return len(childrenOf(t)) == len(before) })
			if unit := f.unit(UnitName("bcdfghjk")); unit != "" {
				t.Errorf("left: %s", unit)
			}
			var calls []string
			for _, call := range f.heard() {
				method, unit, _ := strings.Cut(call, " ")
				if calls = append(calls, method); unit != UnitName("bcdfghjk") {
					t.Errorf("called %s", call)
				}
			}
			if row.calls != nil && !slices.Equal(calls, row.calls) {
				t.Errorf("called %v, want %v", calls, row.calls)
			}
		})
	}
}

// TestNameWhoseStartWasNotAnsweredIsNotWaitedFor: a step that needs it goes on at once.
func TestNameWhoseStartWasNotAnsweredIsNotWaitedFor(t *testing.T) {
	m, f := newManager(t)
	ctx, cancel := context.WithCancel(short(t))
	defer cancel()
	f.silent["StartTransientUnit"] = true
	f.onCall = func(method string) {
		if method == "StartTransientUnit" {
			cancel()
		}
	}
	f.silent["StopUnit"] = true // it is being undone
	spec := Spec{ID: "bcdfghjk", Owner: pidfd(t, startIn(t, nil, "")), Record: []byte("x")}
	if _, err := m.Start(ctx, spec); err == nil {
		t.Fatal("started")
	}
	if _, err := m.Start(short(t), spec); !errors.Is(err, ErrNoSystemd) {
		t.Errorf("Start = %v, want ErrNoSystemd", err)
	}
}

// TestOnlyAnEmptyScopeIsDiscardedAsThat.
func TestOnlyAnEmptyScopeIsDiscardedAsThat(t *testing.T) {
	m, f := newManager(t)
	s := startScope(t, m, startIn(t, nil, ""), 0)
	if s.DiscardEmpty() || f.unit(s.Unit()) == "" {
		t.Fatal("a scope with a keeper in it was discarded")
	}
	if err := s.CgroupKill(short(t)); err != nil {
		t.Fatal(err)
	}
	proctest.Eventually(t, "the scope is discarded", func() bool { return s.DiscardEmpty() })
	m.background.Wait()
	if unit := f.unit(s.Unit()); unit != "" {
		t.Errorf("left: %s", unit)
	}
}

// TestScopeThatWasNotDoneIsDiscarded: the daemon has died before it wrote the record. Somebody
// else's that is called so is left alone, and so is one whose record can't be read.
func TestScopeThatWasNotDoneIsDiscarded(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(s *Scope, f *fakeSystemd) error
		want   bool
	}{
		{"no record", func(s *Scope, _ *fakeSystemd) error { return unix.Fremovexattr(int(s.dir.dir.Fd()), recordXattr) }, true},
		{"another's", func(s *Scope, f *fakeSystemd) error {
			f.set(func() { f.props["Description"] = "[systemd-run] make" })
			return unix.Fremovexattr(int(s.dir.dir.Fd()), recordXattr)
		}, false},
		{"a record of a later version", func(s *Scope, _ *fakeSystemd) error { return s.SetRecord([]byte("later")) }, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			m, f := newManager(t)
			s := startScope(t, m, startIn(t, nil, ""), 0)
			if err := row.change(s, f); err != nil {
				t.Fatal(err)
			}
			if got := s.DiscardUnfinished(short(t)); got != row.want {
				t.Errorf("discarded: %t", got)
			}
			m.background.Wait()
			if gone := f.unit(s.Unit()) == ""; gone != row.want {
				t.Errorf("the unit has gone: %t", gone)
			}
		})
	}
}

// TestScopeThatBecameEmptyAfterItsEndIsForgotten: its cgroup is removed before systemd has
// read that it is empty, which nothing would tell it again.
func TestScopeThatBecameEmptyAfterItsEndIsForgotten(t *testing.T) {
	m, f := newManager(t)
	s := startScope(t, m, startIn(t, nil, ""), 0)
	if err := s.CgroupKill(short(t)); err != nil {
		t.Fatal(err)
	}
	waitEmptyShort(t, s.dir)
	f.mu.Lock()
	f.late = true
	f.mu.Unlock()
	if err := s.Stop(short(t)); err != nil {
		t.Fatal(err)
	}
	if unit := f.unit(s.Unit()); unit != "" {
		t.Errorf("still loaded: %s", unit)
	}
}

// childrenOf lists our own children, zombies too.
func childrenOf(t *testing.T) []string {
	t.Helper()
	var children []string
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		content, _ := os.ReadFile(task)
		children = append(children, strings.Fields(string(content))...)
	}
	return children
}

func TestOldSystemdIsAskedForLess(t *testing.T) {
	m, f := newManager(t)
	f.old = true
	owner := startIn(t, nil, "")
	s := startScope(t, m, owner, 0)
	if err := s.Stop(short(t)); err != nil {
		t.Fatal(err)
	}
	startScope(t, m, owner, 0)
	started := 0
	for _, call := range f.heard() {
		if strings.HasPrefix(call, "StartTransientUnit") {
			started++
		}
	}
	if started != 3 { // once refused, then known
		t.Errorf("asked %d times for two scopes", started)
	}
	if _, ok := f.props["OOMPolicy"]; ok {
		t.Errorf("asked for %v", f.props)
	}
}

func TestDiscardGoesOnUntilSystemdAnswers(t *testing.T) {
	m, f := newManager(t)
	s := startScope(t, m, startIn(t, nil, ""), 0)
	f.refuse["StopUnit"] = dbus.NewError("org.freedesktop.DBus.Error.NoReply", nil)
	tries := 0
	f.onCall = func(method string) {
		if tries++; tries == 2 {
			f.set(func() { delete(f.refuse, "StopUnit") })
		}
	}
	s.Discard(short(t))
	if unit := f.unit(s.Unit()); unit != "" || tries < 2 {
		t.Errorf("left %q after %d tries", unit, tries)
	}

	// Or until nobody waits for it any more.
	f.set(func() { f.silent["StopUnit"] = true; f.onCall = nil })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	s.Discard(ctx)
}

// TestDiscardNeverMeetsTheNextScopeOfTheBuild: a start that failed is still being
// undone when the build's next container comes. All its scopes have one name.
func TestDiscardNeverMeetsTheNextScopeOfTheBuild(t *testing.T) {
	m, f := newManager(t)
	owner := startIn(t, nil, "")
	f.elsewhere = true
	f.refuse["StopUnit"] = dbus.NewError("org.freedesktop.DBus.Error.NoReply", nil)
	spec := Spec{ID: "bcdfghjk", Owner: pidfd(t, owner), Record: []byte("x")}
	if s, err := m.Start(short(t), spec); !errors.Is(err, ErrGone) {
		t.Fatalf("Start = %v, %v", s, err)
	}
	f.set(func() { f.elsewhere = false })
	if s, err := m.Start(short(t), spec); !errors.Is(err, ErrUnitExists) {
		t.Errorf("Start = %v, %v while the unit of that name is to be stopped; want ErrUnitExists", s, err)
	}
	f.set(func() { delete(f.refuse, "StopUnit") })
	m.background.Wait() // the first is undone
	s := startScope(t, m, owner, 0)
	if !s.Joinable() || f.unit(s.Unit()) == "" {
		t.Error("the scope was stopped by what was meant for another")
	}
}

// TestHundredsOfKeepersCostNoThread: a build has one each.
func TestHundredsOfKeepersCostNoThread(t *testing.T) {
	owner := startIn(t, nil, "")
	fd := pidfd(t, owner)
	threads := func() int {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	program, err := exec.LookPath("sleep") // costs less than a keeper, and is waited for as that is
	if err != nil {
		t.Fatal(err)
	}
	sleeper := filepath.Join(t.TempDir(), "keeper")
	if err := os.WriteFile(sleeper, []byte("#!/bin/sh\nexec "+program+" 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	before := threads()
	var all []*keeper
	defer func() {
		for _, k := range all {
			k.kill()
		}
		for _, k := range all {
			awaitKeeper(t, k)
		}
	}()
	for range 300 {
		k, err := startKeeper(sleeper, fd)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	if now := threads(); now > before+20 {
		t.Errorf("%d keepers cost %d threads", len(all), now-before)
	}
}
