package logging

import (
	"sync"
	"time"
)

// What one user may bring into the journal: that many entries at once, and so many in
// each second from then on. journald's own bound is for the daemon as a whole (10,000
// in 30 s by default): without this, a user who has short builds without end would have
// the entries on everybody else's dropped.
//
// Source: journald.conf(5), RateLimitBurst=.
const (
	quotaBurst     = 600
	quotaPerSecond = 10
	quotaUsers     = 1024 // that are remembered; further ones share one
)

// quota bounds the entries that are about a user's builds (FieldUID). Root's are not
// bounded. It is safe for concurrent use.
type quota struct {
	mu      sync.Mutex              // lock order: 6
	account func(uid uint32) uint32 // whom a UID counts for
	users   map[uint32]*allowance
}

// allowance is what a user has left.
type allowance struct {
	entries float64
	at      time.Time
	leftOut int
}

func newQuota() *quota {
	return &quota{account: func(uid uint32) uint32 { return uid }, users: map[uint32]*allowance{}}
}

// CountBy makes the entries about builds of a UID count for whom account says.
func (l *Log) CountBy(account func(uid uint32) uint32) {
	l.quota.mu.Lock()
	defer l.quota.mu.Unlock()
	l.quota.account = account
}

// allow reports whether an entry about a build of the UID's may be made now, and how many
// before it were left out.
func (q *quota) allow(uid uint32, now time.Time) (leftOut int, ok bool) {
	if uid == 0 {
		return 0, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	who := q.account(uid)
	a := q.users[who]
	if a == nil {
		if len(q.users) >= quotaUsers {
			q.forget(now)
		}
		if len(q.users) >= quotaUsers {
			who = 0
		}
		if a = q.users[who]; a == nil {
			a = &allowance{entries: quotaBurst, at: now}
			q.users[who] = a
		}
	}
	a.refill(now)
	if a.entries < 1 {
		a.leftOut++
		return 0, false
	}
	a.entries--
	leftOut, a.leftOut = a.leftOut, 0
	return leftOut, true
}

func (a *allowance) refill(now time.Time) {
	a.entries = min(quotaBurst, a.entries+max(0, now.Sub(a.at).Seconds())*quotaPerSecond)
	a.at = now
}

// forget drops the users who have their whole allowance again.
func (q *quota) forget(now time.Time) {
	for who, a := range q.users {
		if a.refill(now); a.entries == quotaBurst && a.leftOut == 0 {
			delete(q.users, who)
		}
	}
}
