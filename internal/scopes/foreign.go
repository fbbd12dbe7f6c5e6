package scopes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// ErrShared is returned for a cgroup that has somebody else in it.
var ErrShared = errors.New("the cgroup has a process in it that is not known to be the build's")

// freezeTime is how long the kernel may take to freeze cgroups. A process in
// uninterruptible sleep keeps it from being frozen in whole, and forks nothing.
const freezeTime = 100 * time.Millisecond

// KillForeign ends every process of cgroups that are no scopes of ours: those that the OCI
// runtime has made for the containers of a build that is over, each for one. Nothing is
// done to one unless ours, which is asked once, while none of them can run, knows all that
// are in it: so those whose parents end faster than they can be followed are known too.
// It returns for each what has come of it.
//
// Whoever comes between that and the kill was put there by root or by the build's own
// user on purpose: nobody else may, and the cgroup's name is the container's.
func (m *Manager) KillForeign(ctx context.Context, ids []proc.CgroupID, ours func() (pids map[int]bool)) []error {
	failed := make([]error, len(ids))
	there := map[int]*cgroup{} // by their place in ids
	for i, id := range ids {
		c, err := m.foreign(id)
		switch {
		case err == nil:
			there[i] = c
			defer c.close()
		case !isGone(err):
			failed[i] = err
		}
	}
	if len(there) == 0 {
		return failed
	}
	freeze(there)
	known := ours()
	var ending sync.WaitGroup
	for i, c := range there {
		ending.Go(func() {
			failed[i] = c.killKnown(ctx, known)
			_ = c.write("cgroup.freeze", "0")
		})
	}
	ending.Wait()
	return failed
}

// killKnown kills all in the cgroup, if they all are known.
func (c *cgroup) killKnown(ctx context.Context, known map[int]bool) error {
	for _, member := range c.members() {
		if !known[member.PID] {
			return fmt.Errorf("%s: %w: process %d", c.path, ErrShared, member.PID)
		}
	}
	return c.killAll(ctx)
}

// freeze freezes the cgroups, and waits for freezeTime at most.
func freeze(cgroups map[int]*cgroup) {
	for _, c := range cgroups {
		_ = c.write("cgroup.freeze", "1")
	}
	deadline := time.Now().Add(freezeTime)
	for _, c := range cgroups {
		for ; !c.frozen() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
	}
}

// frozen reports whether nothing in the cgroup can run, or it is gone.
func (c *cgroup) frozen() bool {
	events, err := c.read("cgroup.events")
	return err != nil || bytes.Contains(events, []byte("frozen 1"))
}

// RemoveForeign removes such a cgroup when no process and no other cgroup is left in it. One that has gone is removed.
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
	if err := c.with(func(fd int) error { return unix.Fstat(fd, &st) }); err != nil || st.Ino != id.Inode {
		c.close()
		return nil, errors.Join(unix.ENOENT, err) // the name is another's now
	}
	return c, nil
}
