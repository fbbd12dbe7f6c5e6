package scopes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// The tests here need no root: what is written to a cgroup's files is written to ordinary
// ones, in a tree that has the paths of real cgroups. Where a process is, says the kernel.

// fakeTree is such a hierarchy.
type fakeTree struct{ dir string }

func newTree(t *testing.T) fakeTree { return fakeTree{t.TempDir()} }

// cgroup makes a cgroup with the processes in it.
func (f fakeTree) cgroup(t *testing.T, path string, pids ...int) *cgroup {
	t.Helper()
	makeDirs(t, f.dir, path)
	var procs strings.Builder
	for _, pid := range pids {
		procs.WriteString(fmt.Sprintln(pid))
	}
	for name, content := range map[string]string{
		"cgroup.procs": procs.String(), "cgroup.threads": procs.String(), "cgroup.kill": "", "cgroup.freeze": "",
		"cgroup.events": fmt.Sprintf("populated %d\nfrozen 1\n", min(len(pids), 1)),
	} {
		f.write(t, filepath.Join(path, name), content)
	}
	c := openDir(t, filepath.Join(f.dir, path))
	c.path = path
	return c
}

func (f fakeTree) write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, path), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (f fakeTree) read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(f.dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// process starts one, and says where it is: where this program is, too.
func process(t *testing.T) (p *proctest.Child, h *proc.Handle, where string) {
	t.Helper()
	p = proctest.Shell(t, "")
	h, err := proc.Open(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	if where, err = h.Cgroup(); err != nil {
		t.Fatal(err)
	}
	return p, h, where
}

// usedAgain is the handle of a process that has ended, whose PID another one has by now.
func usedAgain(t *testing.T, by int) *proc.Handle {
	t.Helper()
	gone := proctest.Shell(t, "")
	h, err := proc.Open(gone.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	gone.End()
	gone.Status()
	h.PID = by
	return h
}

func yes() bool { return true }

// TestCallerHasEnteredWhereTheKernelSaysSo, and nobody is moved whom the claim was taken
// from, or who has ended.
func TestCallerHasEnteredWhereTheKernelSaysSo(t *testing.T) {
	_, h, where := process(t)
	tree := newTree(t)
	leaf := tree.cgroup(t, "/leaf")
	m := &Manager{root: openDir(t, tree.dir)}
	tree.cgroup(t, where)
	moved := fmt.Sprint(h.PID)
	clear := func() {
		tree.write(t, "/leaf/cgroup.procs", "")
		tree.write(t, filepath.Join(where, "cgroup.procs"), "")
	}

	refused := errors.New("the claim is taken")
	if err := m.enter(leaf, h.PID, func() error { return refused }, yes); !errors.Is(err, refused) || tree.read(t, "/leaf/cgroup.procs") != "" {
		t.Errorf("without the claim: %v, moved %q", err, tree.read(t, "/leaf/cgroup.procs"))
	}
	act := func() error { return nil }
	if err := m.enter(leaf, h.PID, act, yes); err == nil || errors.Is(err, ErrLeft) {
		t.Errorf("the kernel has it elsewhere: %v", err)
	}
	clear()
	leaf.path = where
	if err := m.enter(leaf, h.PID, act, yes); err != nil || tree.read(t, "/leaf/cgroup.procs") != moved {
		t.Errorf("%v, moved %q", err, tree.read(t, "/leaf/cgroup.procs"))
	}
	clear()
	home := filepath.Join(where, "cgroup.procs")
	if err := m.enter(leaf, h.PID, act, func() bool { return false }); !errors.Is(err, ErrLeft) || tree.read(t, home) != moved {
		t.Errorf("the caller has ended: %v; who has its PID was moved back: %q", err, tree.read(t, home))
	}
}

// TestWhoWasMovedByMistakeIsMovedBack, and only who was.
func TestWhoWasMovedByMistakeIsMovedBack(t *testing.T) {
	p, h, where := process(t)
	tree := newTree(t)
	tree.cgroup(t, where)
	home := filepath.Join(where, "cgroup.procs")
	m := &Manager{root: openDir(t, tree.dir)}
	if err := m.putBack(h.PID, "/elsewhere"); err != nil || tree.read(t, home) != "" {
		t.Errorf("one that is elsewhere: %v, moved %q", err, tree.read(t, home))
	}
	if err := m.noStranger([]*proc.Handle{h}, where); err != nil || tree.read(t, home) != "" {
		t.Errorf("one of the build's: %v, moved %q", err, tree.read(t, home))
	}
	stranger := usedAgain(t, p.Process.Pid)
	if err := m.noStranger([]*proc.Handle{h, stranger}, where); err != nil || tree.read(t, home) != fmt.Sprint(p.Process.Pid) {
		t.Errorf("a stranger: %v, moved %q", err, tree.read(t, home))
	}
	lost := &Manager{root: openDir(t, t.TempDir())} // nowhere to go
	if err := lost.noStranger([]*proc.Handle{stranger}, where); !errors.Is(err, errStranger) {
		t.Errorf("a stranger that can't be moved back: %v", err)
	}
}

// TestScopeIsWhereItsFirstProcessIs by the kernel's word: systemd may say that it has put it
// there, and have not.
func TestScopeIsWhereItsFirstProcessIs(t *testing.T) {
	p, h, where := process(t)
	tree := newTree(t)
	tree.cgroup(t, where)
	m := &Manager{root: openDir(t, tree.dir)}
	s := &Scope{manager: m, unit: "buildwatch-bcdfghjk.scope", keeper: &keeper{pid: p.Process.Pid}}
	if err := s.arrange(Spec{Record: []byte("record")}); !errors.Is(err, errUnplaced) || s.dir != nil {
		t.Errorf("a keeper that is elsewhere: %v", err)
	}
	if err := s.findOrphan(h); !errors.Is(err, ErrLeft) || s.dir != nil {
		t.Errorf("an orphan that is elsewhere: %v", err)
	}
	s.unit = filepath.Base(where)
	if err := s.findOrphan(h); errors.Is(err, ErrLeft) { // that of the hierarchy's root can't be opened by its name
		t.Errorf("an orphan that is there: %v", err)
	}
	s.Close()
}

// TestScopeOfThatNameIsNotStopped: who is in it is not the build's.
func TestScopeOfThatNameIsNotStopped(t *testing.T) {
	_, h, where := process(t)
	tree := newTree(t)
	tree.cgroup(t, where)
	makeDirs(t, tree.dir, systemSlice)
	f := newFakeSystemd(t, tree.dir)
	f.refuse[string(StartTransientUnit)] = dbusError("UnitExists")
	life, end := context.WithCancel(t.Context())
	connection := func() *bus { return &bus{dial: f.dial, metrics: &counter{}, life: life} }
	m := &Manager{root: openDir(t, tree.dir), accounts: proc.NewAccounts(), life: life, end: end, placing: connection(), ending: connection(), turns: newTurns()}
	s, err := m.Gather(t.Context(), Spec{ID: "bcdfghjk"}, []*proc.Handle{h})
	m.background.Wait() // a stop would be made in the background
	end()
	m.placing.close()
	m.ending.close()
	if s != nil || !errors.Is(err, ErrUnitExists) {
		t.Errorf("gathered: %v", err)
	}
	for _, call := range f.heard() {
		if strings.HasPrefix(call, string(StopUnit)) || strings.HasPrefix(call, string(KillUnit)) {
			t.Errorf("%s was called", call)
		}
	}
}

// TestForeignCgroupWithAStrangerIsLeftAlone, and thawed, and so is one that has only its
// name.
func TestForeignCgroupWithAStrangerIsLeftAlone(t *testing.T) {
	tree := newTree(t)
	const path = "/crun-buildah-buildah7.scope"
	c := tree.cgroup(t, path, 4711, 4712)
	m := &Manager{root: openDir(t, tree.dir)}
	id := idOf(t, c)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	kill := func(id proc.CgroupID, ours ...int) error {
		return m.KillForeign(over, []proc.CgroupID{id}, func() map[int]bool {
			if tree.read(t, path+"/cgroup.freeze") != "1" {
				t.Error("who is in it is asked while it runs")
			}
			known := map[int]bool{}
			for _, pid := range ours {
				known[pid] = true
			}
			return known
		})[0]
	}
	if err := kill(id, 4711); !errors.Is(err, ErrShared) || tree.read(t, path+"/cgroup.kill") != "" {
		t.Errorf("with a stranger in it: %v, killed %q", err, tree.read(t, path+"/cgroup.kill"))
	}
	if frozen := tree.read(t, path+"/cgroup.freeze"); frozen != "0" {
		t.Errorf("it was left frozen: %q", frozen)
	}
	another := id
	another.Inode++
	if err := kill(another, 4711, 4712); err != nil || tree.read(t, path+"/cgroup.kill") != "" {
		t.Errorf("one that has its name: %v, killed %q", err, tree.read(t, path+"/cgroup.kill"))
	}
	if err := kill(id, 4711, 4712, 1); err != nil || tree.read(t, path+"/cgroup.kill") != "1" {
		t.Errorf("with none: %v, killed %q", err, tree.read(t, path+"/cgroup.kill"))
	}
	if err := m.RemoveForeign(id); !errors.Is(err, unix.EBUSY) {
		t.Errorf("one that has processes is removed: %v", err)
	}
}

// TestSignalReachesWhoIsThereAlone: a cgroup's list is of PIDs, which are used again.
func TestSignalReachesWhoIsThereAlone(t *testing.T) {
	for _, test := range []struct {
		name   string
		path   func(where string) string
		spared bool
		ends   bool
	}{
		{"elsewhere by now", func(string) string { return "/elsewhere" }, false, false},
		{"spared", func(where string) string { return where }, true, false},
		{"there", func(where string) string { return where }, false, true},
	} {
		for name, send := range map[string]func(*cgroup) error{
			"signal": func(c *cgroup) error { return c.signal(unix.SIGKILL, func(*proc.Handle) bool { return test.spared }) },
			"kill":   func(c *cgroup) error { return c.signalLeft(map[proc.Identity]bool{}) },
		} {
			if name == "kill" && test.spared {
				continue // it spares nobody
			}
			p, _, where := process(t)
			c := newTree(t).cgroup(t, "/command", p.Process.Pid)
			c.path = test.path(where)
			if err := send(c); err != nil {
				t.Errorf("%s, %s: %v", test.name, name, err)
			}
			// Whom SIGKILL was sent does nothing more, not even end by itself.
			p.End()
			if killed := p.Status().Signal() == unix.SIGKILL; killed != test.ends {
				t.Errorf("%s: %s has ended it: %v", test.name, name, killed)
			}
		}
	}
}

func TestCgroupHoldsWhatIsBelowIt(t *testing.T) {
	c := &cgroup{path: "/a/b.scope"}
	for path, want := range map[string]bool{
		"/a/b.scope": true, "/a/b.scope/payload/leaf": true, "/a/b.scope2": false, "/a": false, "/": false, "": false, "/c/a/b.scope": false,
	} {
		if got := c.holds(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
