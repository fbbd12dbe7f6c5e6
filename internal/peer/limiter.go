package peer

import "sync"

// Limiter bounds how many connections are open at the same time: of each user,
// and of all users together. Root's count against root's own bound alone, so
// that users who fill the common one (each may have 65,536 UIDs) can't keep root
// out. It may be used by several goroutines at once.
type Limiter struct {
	perUser, total int

	mu    sync.Mutex
	open  map[uint32]int // by UID; no entry for none
	users int            // open connections of all but root
}

// NewLimiter makes a Limiter that lets each user have perUser connections, and
// all users but root total.
func NewLimiter(perUser, total int) *Limiter {
	return &Limiter{perUser: perUser, total: total, open: make(map[uint32]int)}
}

// Acquire takes a place for a connection of the user, if one is free. The place
// is given back by release, which may be called more than once.
func (l *Limiter) Acquire(uid uint32) (release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[uid] >= l.perUser || uid != 0 && l.users >= l.total {
		return func() {}, false
	}
	l.add(uid, 1)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.add(uid, -1)
	}), true
}

func (l *Limiter) add(uid uint32, n int) {
	if l.open[uid] += n; l.open[uid] == 0 {
		delete(l.open, uid)
	}
	if uid != 0 {
		l.users += n
	}
}
