// Package processestest has steps and cgroups that do what a unit test says.
package processestest

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Step is a step whose processes are those that the test names.
type Step struct {
	CgroupID proc.CgroupID // its own
	Named    bool          // CgroupID is known by its name only
	Unseen   atomic.Bool   // somebody is in it whom no look finds
	Looks    atomic.Int32
	Asked    atomic.Int32 // for its processes
	OnLook   func()       // may be nil

	mu        sync.Mutex // lock order: 5
	processes []*proc.Handle
}

// NewStep makes a step of processes.
func NewStep(t *testing.T, pids ...int) *Step {
	t.Helper()
	s := &Step{}
	for _, pid := range pids {
		s.Add(t, pid)
	}
	return s
}

// Add adds a process.
func (s *Step) Add(t *testing.T, pid int) {
	t.Helper()
	h, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes = append(s.processes, h)
}

// Look counts.
func (s *Step) Look() {
	s.Looks.Add(1)
	if s.OnLook != nil {
		s.OnLook()
	}
}

// Glance counts.
func (s *Step) Glance() { s.Looks.Add(1) }

// Alive lists those that live.
func (s *Step) Alive() []*proc.Handle {
	s.Asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.processes), func(h *proc.Handle) bool { return !h.Alive() })
}

// Cgroup is the same for all.
func (s *Step) Cgroup() string { s.Asked.Add(1); return "/caller" }

// Own is CgroupID.
func (s *Step) Own() (own proc.CgroupID, verified, known bool) {
	return s.CgroupID, !s.Named, s.CgroupID != proc.CgroupID{}
}

// Populated is Unseen.
func (s *Step) Populated() bool { return s.Unseen.Load() }

// Over reports whether nothing is left.
func (s *Step) Over() bool { return len(s.Alive()) == 0 && !s.Populated() }

// ErrFailed is what fails here.
var ErrFailed = errors.New("it failed")

// Cgroups writes down what is done to cgroups.
type Cgroups struct {
	Kill func() error // instead, if it is set
	Left int          // how often a removal fails

	mu              sync.Mutex // lock order: 5
	killed, removed []string
}

// KillForeign kills nothing. The test itself is never the build's.
func (c *Cgroups) KillForeign(_ context.Context, own []proc.CgroupID, ours func() map[int]bool) []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	failed := make([]error, len(own))
	known := ours()
	for i, id := range own {
		switch {
		case c.Kill != nil:
			failed[i] = c.Kill()
		case len(known) == 0 || known[os.Getpid()]:
			failed[i] = ErrFailed
		default:
			c.killed = append(c.killed, id.Path)
		}
	}
	return failed
}

// RemoveForeign writes down.
func (c *Cgroups) RemoveForeign(own proc.CgroupID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Left > 0 {
		c.Left--
		return ErrFailed
	}
	c.removed = append(c.removed, own.Path)
	return nil
}

// Did is what was done.
func (c *Cgroups) Did() (killed, removed []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.killed), slices.Clone(c.removed)
}
