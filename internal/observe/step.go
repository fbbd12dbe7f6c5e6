package observe

import (
	"os"
	"slices"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

var selfPID = os.Getpid()

// Bounds on the processes that are held at a time, of one step and by whose builds they
// are; each is a descriptor. What is left out is found when others have ended.
const maxHeld = 4096

var holds = share.Bounds{User: 8192, Users: 32768, Spare: 8192, Few: 1024, Root: 16384}

// Step is one RUN step's processes, held. Its exported fields do not change.
type Step struct {
	Monitor *proc.Handle // nil for orphans that nobody saw under one
	Builder *proc.Handle // its parent; nil as well
	UID     uint32       // whose build it is

	follower *Follower
	chroot   bool
	program  proc.FileID            // the monitor's
	above    map[proc.Identity]bool // the builder, and who is above it
	outside  namespaces             // those of the monitor: who is in them is not the step's
	begins   string                 // the monitor's cgroup when it was found

	mu     sync.Mutex // lock order: 4
	held   []*proc.Handle
	places []func()      // as many, to be given back
	uts    string        // the step's own UTS namespace
	pin    *os.File      // keeps it in being, and so its name
	shared bool          // others were in it as well: it says nothing
	own    proc.CgroupID // see Own
	bundle string        // the monitor's, see bundleOf; "" where it has none
	looked bool          // whether it is placed is known
	placed bool          // it is in its build's scope: the wrapper's
	told   bool          // or is being so
	again  time.Time     // when it is to be told of once more, which was not taken up
	ended  time.Time     // when the monitor and the builder were first known to have ended
}

// Look looks at the host's processes, for this step and for all others at once: of
// several steps one is asked.
func (s *Step) Look() { s.follower.look() }

// Glance is Look, unless the last one was at most 200 ms ago.
func (s *Step) Glance() { s.follower.lookAfter(recent) }

// Alive returns the step's processes that the last look has found and that have not
// ended, as far as the build's user may end them: the builder's own, and for root all.
// A handle stays valid, and at worst says that the process is gone.
func (s *Step) Alive() []*proc.Handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.held), func(h *proc.Handle) bool { return !h.Alive() || !belongs(h, s.UID) })
}

// Cgroup is where the first of the step's processes is, below the mount.
func (s *Step) Cgroup() string {
	for _, h := range s.Alive() {
		if cgroup := proc.Cgroup(h.PID); cgroup != "" {
			return cgroup
		}
	}
	return ""
}

// follow takes hold of the processes that are new, and lets go of those that
// have ended.
func (s *Step) follow(v *view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.placed {
		return
	}
	known := map[proc.Identity]bool{}
	for _, h := range s.held {
		known[h.Identity] = true
	}
	if s.Monitor != nil {
		s.enter(s.Monitor, v.below, known)
	}
	s.descendFrom(0, v, known)
	s.findByNamespace(v, known)
	s.findByMounts(v, known)
	s.findOwn()
	s.findPlace()
	s.held = slices.DeleteFunc(s.held, func(h *proc.Handle) bool {
		if h.Alive() {
			return false
		}
		h.Close()
		return true
	})
	s.giveBack()
}

// giveBack gives back the places of processes that are not held any more.
func (s *Step) giveBack() {
	for n := len(s.places); n > len(s.held); n-- {
		s.places[n-1]()
		s.places = s.places[:n-1]
	}
}

// enter looks below a process outside the step (its monitor, the OCI runtime) for
// the first ones inside. A hook of the runtime's, or a helper of the builder's, is
// not.
func (s *Step) enter(parent *proc.Handle, below map[int][]entry, known map[proc.Identity]bool) {
	for _, e := range below[parent.PID] {
		if known[e.Identity] {
			continue
		}
		h := childOf(parent, e)
		if h == nil {
			continue
		}
		// The builder's own helpers, and what is about to become the OCI runtime.
		program, err := h.Program()
		if err == nil && program.FileID == s.program || !s.inside(h) || !s.Monitor.Alive() {
			s.enter(h, below, known)
			h.Close()
			continue
		}
		s.hold(h, known)
	}
}

// inside reports whether a process below the monitor is in the step.
func (s *Step) inside(h *proc.Handle) bool {
	monitor := namespaces{mnt: proc.Namespace(s.Monitor.PID, "mnt"), uts: proc.Namespace(s.Monitor.PID, "uts"), pid: s.follower.host.pid}
	its := namespaces{mnt: proc.Namespace(h.PID, "mnt"), uts: proc.Namespace(h.PID, "uts"), pid: proc.Namespace(h.PID, "pid")}
	apart := proc.Cgroup(h.PID) != proc.Cgroup(s.Monitor.PID)
	return h.Alive() && isInside(its, monitor, s.outside, s.follower.host, apart)
}

// isInside reports whether a process is in the step, by its namespaces, those that the
// monitor has now, those that it had when it was found, and the host's: it is in a PID or
// a UTS namespace that was made for the step. Where the step shares both with the host, it
// is in another mount namespace and, apart, in another cgroup than the monitor. A mount
// namespace alone tells nothing: a thread of the monitor's may have one of its own, and the
// runtime that it starts is then in it. In doubt it is not; it is looked at again.
func isInside(its, monitor, found, host namespaces, apart bool) bool {
	if monitor.mnt == "" || monitor.uts == "" || its.mnt == "" || its.uts == "" || its.pid == "" {
		return false
	}
	if its.pid != monitor.pid || its.uts != monitor.uts && its.uts != found.uts && its.uts != host.uts {
		return true
	}
	return its.mnt != monitor.mnt && its.mnt != found.mnt && its.mnt != host.mnt && apart
}

// descendFrom takes hold of what the held processes from the first one on have started,
// and what that has.
func (s *Step) descendFrom(first int, v *view, known map[proc.Identity]bool) {
	for i := first; i < len(s.held); i++ { // grows
		s.descend(s.held[i], v.below, known)
	}
}

// descend takes hold of what a process of the step has started.
func (s *Step) descend(parent *proc.Handle, below map[int][]entry, known map[proc.Identity]bool) {
	for _, e := range below[parent.PID] {
		if known[e.Identity] || len(s.held) >= maxHeld {
			continue
		}
		if h := childOf(parent, e); h != nil {
			s.hold(h, known)
		}
	}
}

// take holds a process for which there is another reason than its parent.
func (s *Step) take(e entry, known map[proc.Identity]bool, reason func(*proc.Handle) bool) {
	if len(s.held) >= maxHeld {
		return
	}
	h, err := proc.Find(e.Identity)
	if err != nil {
		return
	}
	if !reason(h) || !h.Alive() {
		h.Close()
		return
	}
	s.hold(h, known)
}

// childOf takes hold of a process, if it is the child of one that is held. The
// parent was alive after its PID was read as the child's parent, so it is this
// parent and no later one of that PID.
func childOf(parent *proc.Handle, e entry) *proc.Handle {
	h, err := proc.Find(e.Identity)
	if err != nil {
		return nil
	}
	if stat, err := h.Stat(); err != nil || stat.PPID != parent.PID || !parent.Alive() {
		h.Close()
		return nil
	}
	return h
}

func (s *Step) hold(h *proc.Handle, known map[proc.Identity]bool) {
	known[h.Identity] = true
	release, ok := s.follower.holds.Take(s.follower.Reader.OfUID(s.UID))
	if !ok {
		h.Close()
		return
	}
	s.held, s.places = append(s.held, h), append(s.places, release)
}

// findPlace looks, once, whether the step is in its build's scope. The wrapper's
// container is from its first instruction, unless the OCI runtime has made its cgroup
// elsewhere than it was told; orphans that are gathered are so later.
func (s *Step) findPlace() {
	for _, h := range s.held {
		if s.looked {
			return
		}
		where, err := h.Cgroup()
		if err != nil || s.follower.Passing(where) {
			continue // it has ended, or is not yet where it will live
		}
		placed := s.follower.Placed(where)
		if placed && s.isBeingMade(h, where) {
			continue
		}
		s.looked, s.placed = true, placed
	}
}

// isBeingMade reports whether a process may be moved yet: a container's first one begins in
// the cgroup of the monitor, and executes nothing before it is where it will live. Of a builder
// that is in a scope itself, under buildwatchctl run, that is no container's cgroup.
func (s *Step) isBeingMade(h *proc.Handle, where string) bool {
	return !s.chroot && s.Monitor != nil && (where == s.begins || where == proc.Cgroup(s.Monitor.PID)) && !proc.HasExeced(h.PID)
}

// firstSeen is true once: when it is known where the step's first process is; and again
// when it is to be told of once more.
func (s *Step) firstSeen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told || !s.looked || time.Now().Before(s.again) {
		return false
	}
	s.told = true
	return true
}

// tellAgain makes the step one that is to be told of once more.
func (s *Step) tellAgain(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told, s.again = false, at
}

// waits reports whether the step is to be told of once more.
func (s *Step) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.told && !s.placed && !s.again.IsZero()
}

// needsLooks reports whether the step must be looked at often: it has no processes
// yet, or may have some that only a look finds.
func (s *Step) needsLooks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.placed:
		return false
	case s.chroot:
		return true
	case len(s.held) > 0:
		return !s.looked
	}
	return s.Monitor.Alive() || s.mayBeMissed()
}

// Over reports whether nothing of the step is left or can come any more.
func (s *Step) Over() bool {
	s.mu.Lock()
	over := (s.placed || len(s.held) == 0) && (s.Monitor == nil || !s.Monitor.Alive() && !s.mayBeMissed())
	s.mu.Unlock()
	return over && !s.Populated()
}

// release lets go of what is held.
func (s *Step) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		h.Close()
	}
	s.held = nil
	s.giveBack()
	if s.pin != nil {
		s.pin.Close()
		s.pin = nil
	}
	if s.Monitor != nil {
		s.Monitor.Close()
		s.Builder.Close()
	}
}

// belongs reports whether the user could end the process too: it is theirs in all
// its UIDs, or lives in a user namespace of theirs. So a program that is
// set-user-ID to somebody else is never ended for a user. Of root's builds all
// belongs to it.
func belongs(h *proc.Handle, uid uint32) bool {
	if uid == 0 {
		return true
	}
	owner, nested, err := namespaceOwner(h.PID)
	if err != nil {
		return false
	}
	uids, err := h.UIDs()
	return err == nil && isOf(uid, uids, nested, owner) && h.Alive()
}

// isOf is belongs for a process whose UIDs are known, and who has made the user namespace
// that it is in, if it is nested in ours.
func isOf(user uint32, uids [4]uint32, nested bool, owner uint32) bool {
	if nested {
		return owner == user
	}
	return uids == [4]uint32{user, user, user, user}
}
