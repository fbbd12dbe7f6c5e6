package scopes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// ErrShared is returned for a cgroup that has somebody else in it.
var ErrShared = errors.New("the cgroup has a process in it that is not known to be the build's")

// freezeTime is how long the kernel may take to freeze a cgroup. A process in
// uninterruptible sleep keeps it from being frozen in whole, and forks nothing.
const freezeTime = 100 * time.Millisecond

// KillForeign ends every process of a cgroup that is not a scope of ours: one that
// the OCI runtime has made for one container of a build that is over. Nothing is done
// to it unless ours, which is asked while none of them can run, knows all that are in
// it: so those whose parents end faster than they can be followed are known too.
//
// Whoever comes between that and the kill was put there by root or by the build's own
// user on purpose: nobody else may, and the cgroup's name is the container's.
func (m *Manager) KillForeign(ctx context.Context, id proc.CgroupID, ours func() (pids map[int]bool)) error {
	c, err := m.foreign(id)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.close()
	c.freeze()
	defer func() { _ = c.write("cgroup.freeze", "0") }()
	known := ours()
	for _, member := range c.members() {
		if !known[member.PID] {
			return fmt.Errorf("%s: %w: process %d", id.Path, ErrShared, member.PID)
		}
	}
	return c.killAll(ctx)
}

// freeze lets nothing in the cgroup run, as far as that can be had in time.
func (c *cgroup) freeze() {
	_ = c.write("cgroup.freeze", "1")
	for deadline := time.Now().Add(freezeTime); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		events, err := c.read("cgroup.events")
		if err != nil || bytes.Contains(events, []byte("frozen 1")) {
			return
		}
	}
}

// RemoveForeign removes such a cgroup when
// no process and no other cgroup is left in it. One that has gone is removed.
func (m *Manager) RemoveForeign(id proc.CgroupID) error {
	c, err := m.foreign(id)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.close()
	if populated, err := c.populated(); populated || err != nil {
		return errors.Join(fmt.Errorf("remove %s: %w", id.Path, unix.EBUSY), err)
	}
	return m.remove(c)
}

// foreign opens the very cgroup.
func (m *Manager) foreign(id proc.CgroupID) (*cgroup, error) {
	c, err := m.root.sub(strings.TrimPrefix(id.Path, "/"))
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(c.dir.Fd()), &st); err != nil || st.Ino != id.Inode {
		c.close()
		return nil, errors.Join(unix.ENOENT, err) // the name is another's now
	}
	return c, nil
}
