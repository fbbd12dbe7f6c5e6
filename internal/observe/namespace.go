package observe

import "github.com/buildwatch/buildwatch/internal/proc"

// findByNamespace takes hold of what has lost its parent between two looks: it is in the
// step's own UTS namespace, which podman and buildah make for each step. A step may also be
// put into a namespace that others use (--uts with a path, --pid with another container's).
// That says nothing of whose a process is, and none is held for it.
func (s *Step) findByNamespace(v *view, known map[proc.Identity]bool) {
	if s.shared {
		return
	}
	if s.pin == nil {
		for _, h := range s.held {
			if s.pinNamespace(h); s.pin != nil {
				break
			}
		}
	}
	if s.pin == nil {
		return
	}
	all, members := v.all, map[int]bool{}
	for _, e := range v.inUTS(s.uts) {
		members[e.PID] = true
	}
	var orphans []entry
	for pid := range members {
		e := all[pid]
		if known[e.Identity] || members[e.ppid] || s.isBelowMonitor(all, e) {
			continue // what is below another member is judged with that one
		}
		switch s.judge(e) {
		case orphan:
			orphans = append(orphans, e)
		case stranger:
			s.shared, s.uts = true, ""
			s.pin.Close()
			s.pin = nil
			return
		}
	}
	first := len(s.held)
	for _, e := range orphans {
		s.take(e, known, func(h *proc.Handle) bool { return proc.Namespace(h.PID, "uts") == s.uts })
	}
	s.descendFrom(first, v, known)
}

// findByMounts takes hold of what has lost its parent between two looks and is in a UTS
// namespace of its own, or in the host's: it is still in the mount namespace of a process
// that is held, and was given to the builder or one above it. A mount namespace is not kept
// in being, that would keep its mounts: so only those count that a living process of the
// step is in.
func (s *Step) findByMounts(v *view, known map[proc.Identity]bool) {
	if s.Monitor == nil {
		return
	}
	var orphans []entry
	for _, e := range v.all {
		if parent, ok := v.all[e.ppid]; ok && !known[e.Identity] && s.mayBeOrphan(e, parent) {
			orphans = append(orphans, e)
		}
	}
	if len(orphans) == 0 {
		return // and the namespaces of what is held need not be read
	}
	own, first := s.ownMounts(), len(s.held)
	for _, e := range orphans {
		s.take(e, known, func(h *proc.Handle) bool { return own[proc.Namespace(h.PID, "mnt")] })
	}
	s.descendFrom(first, v, known)
}

// mayBeOrphan reports whether a process was started after the step's monitor, and was
// given to the builder or one above it.
func (s *Step) mayBeOrphan(e, parent entry) bool {
	return e.Start >= s.Monitor.Start && e.Identity != s.Monitor.Identity && s.above[parent.Identity] && !s.above[e.Identity]
}

// ownMounts lists the mount namespaces that living processes of the step are in, but for
// those that others are in as well: the host's, the monitor's, the builder's.
func (s *Step) ownMounts() map[string]bool {
	own := map[string]bool{}
	for _, h := range s.held {
		if mnt := proc.Namespace(h.PID, "mnt"); mnt != "" && h.Alive() {
			own[mnt] = true
		}
	}
	delete(own, s.outside.mnt)
	delete(own, s.follower.host.mnt)
	delete(own, proc.Namespace(s.Monitor.PID, "mnt"))
	if s.Builder != nil {
		delete(own, proc.Namespace(s.Builder.PID, "mnt"))
	}
	return own
}

// isBelowMonitor reports whether the monitor has started the process, as far as one look
// tells: the OCI runtime, or what it has started.
func (s *Step) isBelowMonitor(all snapshot, e entry) bool {
	for range maxAbove {
		parent, ok := all[e.ppid]
		if !ok || s.Monitor == nil {
			return false
		}
		if parent.Identity == s.Monitor.Identity {
			return true
		}
		e = parent
	}
	return false
}

// verdict is what a process is that is in the step's namespace, and that neither the step
// nor the monitor has below it.
type verdict string

const (
	unclear  verdict = "unclear"  // it is ending, or is being given to another parent: looked at again
	orphan   verdict = "orphan"   // the step's
	stranger verdict = "stranger" // it was there before, or has come from elsewhere
)

// relation is what a judgement rests on.
type relation struct {
	monitored bool // the step's monitor was seen
	older     bool // it was started before that
	inside    bool // its parent is in the namespace too, or is the monitor
	above     bool // its parent is the builder, or one above it
	outdoors  bool // it is in the host's mount namespace or the monitor's, where no step is
	// beside: it was given to PID 1, or such a one, and is in the mount namespace of a process
	// that is held.
	beside bool
	// reaped: its parent is in its PID namespace, which is not the host's, and it is in the mount
	// namespace of a process that is held. The step was put into a container's PID namespace,
	// the first process of which is given what the step orphans.
	reaped bool
}

// verdict judges by the parent: what a step has orphaned is given to one of those above its
// builder, or stays in its PID namespace. Who has joined the namespace is somebody else's child.
func (r relation) verdict() verdict {
	switch {
	case r.monitored && r.older:
		return stranger
	case r.inside:
		return unclear // it was given to another one of the step's since
	case r.monitored && (r.above || r.reaped) && !r.outdoors, !r.monitored && r.beside:
		return orphan
	}
	return stranger
}

func (s *Step) judge(e entry) verdict {
	h, err := proc.Find(e.Identity)
	if err != nil {
		return unclear
	}
	defer h.Close()
	parent, err := h.Parent()
	if err != nil {
		return unclear
	}
	defer parent.Close()
	mnt, pid := proc.Namespace(h.PID, "mnt"), proc.Namespace(h.PID, "pid")
	r := relation{
		monitored: s.Monitor != nil,
		older:     s.Monitor != nil && h.Start < s.Monitor.Start,
		inside:    proc.Namespace(parent.PID, "uts") == s.uts || s.Monitor != nil && parent.Identity == s.Monitor.Identity,
		above:     s.above[parent.Identity],
		outdoors:  mnt == s.outside.mnt || mnt == s.follower.host.mnt,
		beside:    proc.Exe(parent.PID) == proc.Exe(1) && s.holdsIn(mnt),
		reaped:    pid != s.follower.host.pid && pid == proc.Namespace(parent.PID, "pid") && s.holdsIn(mnt),
	}
	if mnt == "" || pid == "" || !h.Alive() || !parent.Alive() {
		return unclear
	}
	return r.verdict()
}

// holdsIn reports whether a process of the step is in the mount namespace.
func (s *Step) holdsIn(mnt string) bool {
	for _, h := range s.held {
		if proc.Namespace(h.PID, "mnt") == mnt && h.Alive() {
			return true
		}
	}
	return false
}

// pinNamespace remembers the step's own UTS namespace, and keeps it from being
// freed: its name would be used again. It costs some hundred bytes and holds on
// to nothing else, unlike a mount namespace.
func (s *Step) pinNamespace(h *proc.Handle) {
	uts := proc.Namespace(h.PID, "uts")
	if uts == "" || uts == s.outside.uts || uts == s.follower.host.uts {
		return // --uts=host
	}
	pin, err := proc.OpenNamespace(h.PID, "uts")
	if err != nil {
		return
	}
	if proc.Namespace(h.PID, "uts") != uts || !h.Alive() {
		pin.Close()
		return
	}
	s.uts, s.pin = uts, pin
}
