package observe

import (
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// missedTime is for how long a container may still come of an OCI runtime that has
// outlived its monitor and its builder.
const missedTime = 10 * time.Second

// expectPatience is how long Expect waits for a monitor's name.
const expectPatience = 100 * time.Millisecond

// Expect takes hold of the step that a process, the OCI runtime's wrapper, was
// started for. A container that could not be placed is looked for then; and should
// its builder end before a look finds it, it is known whose it is.
func (f *Follower) Expect(wrapper *proc.Handle) {
	monitor, err := wrapper.Parent()
	if err != nil {
		return
	}
	f.names.ask(monitor.Identity, 0)
	f.names.waitFor(monitor.Identity, expectPatience) // without the lock: looks go on meanwhile
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.following {
		monitor.Close()
		return
	}
	if _, known := f.steps[monitor.Identity]; known {
		monitor.Close()
	} else if s := f.held(monitor); s != nil {
		f.steps[monitor.Identity] = s
	} else {
		monitor.Close()
	}
	f.lookOften()
}

// mayBeMissed reports whether the step's monitor and builder have ended, a moment ago,
// before any process of the step was seen. It is called with the lock.
func (s *Step) mayBeMissed() bool {
	if s.told || s.placed || s.bundle == "" || s.Monitor.Alive() || s.Builder.Alive() {
		return false
	}
	if s.ended.IsZero() {
		s.ended = time.Now()
	}
	return time.Since(s.ended) < missedTime
}

func (s *Step) missed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mayBeMissed()
}

// findMissed looks for the container's processes in the cgroup that the OCI runtime
// makes for it, which is called by the number of the bundle. The runtime refuses a
// cgroup that is there already; who makes one of that name elsewhere can bring
// only processes of their own into it.
func (s *Step) findMissed(all snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	inside := func(pid int) bool {
		_, ok := ownCgroup(proc.Cgroup(pid), s.bundle)
		return ok
	}
	known := map[proc.Identity]bool{}
	for pid, e := range all {
		if inside(pid) {
			s.take(e, known, func(h *proc.Handle) bool { return inside(h.PID) })
		}
	}
	s.findOwn()
}
