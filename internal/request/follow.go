package request

import "time"

const (
	// apart is how far two looks may be from each other, for what is new in the second
	// to have happened at about the same time.
	apart = 2 * time.Second
	// near is how soon after its directory the handler's connection is closed, at the
	// latest; and how soon it is where it can't be seen that its peer was gone before.
	near, nearBlind = time.Second, 25 * time.Millisecond
)

// moment is what was seen at one time of each of a request's directories and
// connections.
type moment struct {
	at    time.Time
	gone  []bool // of Request.Dirs
	conns []end  // of Request.Conns; nil where they could not be looked at
}

// follower concludes from one look after the other how a request stands. It is not
// safe for concurrent use.
type follower struct {
	request   Request
	last      moment
	explained []bool // of Request.Dirs: its handler has removed it
	removals  []removal
}

// removal is that some directories were removed between two looks.
type removal struct {
	at   time.Time
	dirs []int
	// suspects are the connections that the service still held at the look before, and
	// whose peer was about to go, or gone, at the look after.
	suspects []int
}

// follow begins with what the request was when it was seen.
func follow(r Request) *follower {
	f := &follower{request: r, explained: make([]bool, len(r.Dirs))}
	f.last = moment{at: r.seen, gone: make([]bool, len(r.Dirs))}
	if !r.seen.IsZero() {
		f.last.conns = make([]end, len(r.Conns))
	}
	return f
}

// see takes up a look, and says how the request stands.
//
// When a client goes, its peer is the first to see it: the handler returns, removes the
// directory, and then the service closes the connection. So a directory that was removed
// while all connections were open, by all looks, has lost it to a cleaner; and a
// connection that the service has closed while the directory was there was another
// request's.
func (f *follower) see(now moment) Sight {
	f.noticeRemovals(now)
	f.explainRemovals(now)
	if now.conns == nil { // what was removed meanwhile is noticed by the next look that sees all
		now.conns = f.last.conns
		s := f.sight(now)
		s.Partial = true
		return s
	}
	f.last = now
	return f.sight(now)
}

func (f *follower) noticeRemovals(now moment) {
	r := removal{at: now.at}
	for i, gone := range now.gone {
		if gone && !f.last.gone[i] {
			r.dirs = append(r.dirs, i)
		}
	}
	if len(r.dirs) == 0 || now.conns == nil || f.last.conns == nil || now.at.Sub(f.last.at) > apart {
		return
	}
	for i, end := range now.conns {
		if f.last.conns[i] != closed && (end != open || f.request.Conns[i].blind()) {
			r.suspects = append(r.suspects, i)
		}
	}
	f.removals = append(f.removals, r)
}

// explainRemovals finds the connections that the service has closed right after it has
// removed the directories, one for each.
func (f *follower) explainRemovals(now moment) {
	if now.conns == nil {
		return
	}
	var waiting []removal
	for _, r := range f.removals {
		after := now.at.Sub(r.at)
		done := 0
		for _, i := range r.suspects {
			if now.conns[i] == closed && (after <= nearBlind || !f.request.Conns[i].blind()) {
				done++
			}
		}
		switch {
		case after > near:
		case done >= len(r.dirs):
			for _, i := range r.dirs {
				f.explained[i] = true
			}
		default:
			waiting = append(waiting, r)
		}
	}
	f.removals = waiting
}

// sight counts, and decides.
func (f *follower) sight(now moment) Sight {
	s := Sight{Dirs: len(now.gone), Conns: len(f.request.Conns), Partial: f.request.Partial}
	explained := 0
	for i, gone := range now.gone {
		if gone {
			s.DirsGone++
		}
		if f.explained[i] {
			explained++
		}
	}
	for _, end := range now.conns {
		if end >= hungUp {
			s.ConnsGone++
		}
	}
	switch {
	case !s.Partial && (s.Conns > 0 && s.ConnsGone == s.Conns || s.Dirs > 0 && explained == s.Dirs):
		s.Standing = Over
	case s.Dirs > 0 && s.DirsGone == s.Dirs:
		s.Standing = Left
	case f.request.Own: // a directory that is gone may have been another request's
	case s.Dirs == 0, s.DirsGone > 0:
		s.Standing = Doubtful
	}
	return s
}

// stirs reports whether something is about to happen, so that the next look comes soon: a
// connection whose peer is gone, and that the service has not closed yet.
func (f *follower) stirs() bool {
	for _, end := range f.last.conns {
		if end == leaving || end == hungUp {
			return true
		}
	}
	return len(f.removals) > 0
}
