package scopes

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// idOf identifies a cgroup wherever the hierarchy is mounted.
func idOf(t *testing.T, c *cgroup) proc.CgroupID {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(c.dir.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return proc.CgroupID{Path: c.path, Inode: st.Ino}
}

func TestForeignCgroupIsKilledOnlyIfAllInItAreKnown(t *testing.T) {
	root, own := realCgroups(t)
	m := &Manager{root: root, turns: newTurns()}
	step := makeSub(t, own, "buildah-buildah1")
	below := makeSub(t, step, "container")
	known, unknown := startIn(t, step, "trap '' TERM"), startIn(t, below, "")
	ours := map[int]bool{known.Process.Pid: true}
	kill := func(id proc.CgroupID, ours func() map[int]bool) error {
		return m.KillForeign(context.Background(), []proc.CgroupID{id}, ours)[0]
	}
	if err := kill(idOf(t, step), func() map[int]bool { return ours }); !errors.Is(err, ErrShared) {
		t.Errorf("with a stranger in it: %v", err)
	}
	if known.Process.Signal(unix.Signal(0)) != nil || unknown.Process.Signal(unix.Signal(0)) != nil {
		t.Error("a process was ended")
	}
	proctest.Eventually(t, "it is not frozen any more", func() bool { // the kernel takes a moment
		events, err := step.read("cgroup.events")
		return err == nil && strings.Contains(string(events), "frozen 0")
	})
	ours[unknown.Process.Pid] = true
	// Another cgroup of the name is none of it.
	other := idOf(t, step)
	other.Inode++
	if err := kill(other, func() map[int]bool { t.Error("asked"); return nil }); err != nil {
		t.Error(err)
	}
	wantPopulated(t, step, true)
	if err := kill(idOf(t, step), func() map[int]bool { return ours }); err != nil {
		t.Error(err)
	}
	waitEmptyShort(t, step)
}

func TestForeignCgroupIsRemovedOnlyEmptyAndTheSame(t *testing.T) {
	root, own := realCgroups(t)
	m := &Manager{root: root, turns: newTurns()}
	step := makeSub(t, own, "buildah-buildah1")
	id, dir := idOf(t, step), filepath.Join(own.mountPath(t), "buildah-buildah1")
	p := startIn(t, step, "")
	if err := m.RemoveForeign(id); !errors.Is(err, unix.EBUSY) {
		t.Errorf("with a process in it: %v", err)
	}
	p.End()
	waitEmptyShort(t, step)
	another := id
	another.Inode++
	if err := m.RemoveForeign(another); err != nil {
		t.Errorf("one that has gone: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("another of its name was removed: %v", err)
	}
	if err := m.RemoveForeign(id); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there: %v", err)
	}
	if err := m.RemoveForeign(id); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestCgroupOfAnEndedUnitIsRemovedWhenItIsEmpty, with those that the OCI runtime has
// made in it, and not before.
func TestCgroupOfAnEndedUnitIsRemovedWhenItIsEmpty(t *testing.T) {
	root, own := realCgroups(t)
	scope := makeSub(t, own, "buildwatch-abcdefgh.scope")
	makeSub(t, scope, supervisorDir)
	container := makeSub(t, makeSub(t, scope, payloadDir), "run-buildah-buildah1")
	s := &Scope{manager: &Manager{root: root, turns: newTurns()}, dir: scope}
	p := startIn(t, container, "")
	s.removeEmpty()
	if _, err := os.Stat(filepath.Join(own.mountPath(t), path.Base(scope.path), supervisorDir)); err != nil {
		t.Errorf("with a process in it: %v", err)
	}
	p.End()
	waitEmptyShort(t, scope)
	for range 2 { // the second time there is nothing to do
		s.removeEmpty()
		if names := own.children(); len(names) != 0 {
			t.Errorf("left: %v", names)
		}
	}
}
