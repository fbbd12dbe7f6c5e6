package scopes

import (
	"errors"
	"fmt"
	"strings"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// errStranger is returned where a process that is none of the build's was moved into
// its scope, and could not be moved back. Nothing may be done to the scope then.
var errStranger = errors.New("a process that is none of the build's was moved with it")

// noStranger looks at the processes that were moved, by PID, and have ended by now:
// somebody else may have had the PID already, and so have been moved instead. It is
// moved back.
//
// systemd 255 takes pidfds, the kernel's cgroup.procs never does.
func (m *Manager) noStranger(moved []*proc.Handle, where string) error {
	for _, h := range moved {
		if h.Alive() {
			continue // and so was when it was moved
		}
		if err := m.putBack(h.PID, where); err != nil {
			return fmt.Errorf("%w: PID %d: %w", errStranger, h.PID, err)
		}
	}
	return nil
}

// putBack moves the process that has the PID now out of where it was moved by mistake,
// to where its parent is: it was born there, a moment before. A PID that nobody has, or
// somebody who is elsewhere, is left alone.
func (m *Manager) putBack(pid int, where string) error {
	stranger, err := proc.Open(pid)
	if err != nil {
		return nil // nobody has the PID, or it is not reaped yet
	}
	defer stranger.Close()
	now, err := stranger.Cgroup()
	if err != nil || now != where && !strings.HasPrefix(now, where+"/") {
		return nil
	}
	parent, err := stranger.Parent()
	if err != nil {
		return err
	}
	defer parent.Close()
	home, err := parent.Cgroup()
	if err != nil {
		return err
	}
	dir, err := m.root.sub("." + home)
	if err != nil {
		return err
	}
	defer dir.close()
	return dir.attach(pid)
}
