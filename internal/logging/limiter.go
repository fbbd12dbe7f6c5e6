package logging

import (
	"sync"
	"time"
)

// Limiter keeps a failure that repeats from filling the log: it lets the first
// entry for a key through, and no further one until the interval is over.
//
// It remembers a bounded number of keys. When all are in use, keys that are
// new share one place, so that not even ever new keys can fill the log. It is
// safe for concurrent use.
type Limiter struct {
	interval time.Duration
	keys     int

	mu   sync.Mutex // lock order: 8; guards seen
	seen map[string]*repeats
}

// repeats is what is known of one key.
type repeats struct {
	since      time.Time // of the entry that was let through
	suppressed int       // entries since then
}

// others is the place that keys share when there are too many.
const others = ""

// NewLimiter makes a Limiter that lets one entry a key through in each
// interval, and knows that many keys.
func NewLimiter(interval time.Duration, keys int) *Limiter {
	return &Limiter{interval: interval, keys: keys, seen: make(map[string]*repeats)}
}

// Allow reports whether an entry for key may be logged now, and if so how many
// for it were not since the last one.
func (l *Limiter) Allow(key string, now time.Time) (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen[key] == nil && len(l.seen) >= l.keys {
		l.forget(now)
		if len(l.seen) >= l.keys {
			key = others
		}
	}
	r := l.seen[key]
	if r == nil {
		l.seen[key] = &repeats{since: now}
		return 0, true
	}
	if now.Sub(r.since) < l.interval {
		r.suppressed++
		return 0, false
	}
	suppressed = r.suppressed
	*r = repeats{since: now}
	return suppressed, true
}

// forget drops the keys whose interval is over.
func (l *Limiter) forget(now time.Time) {
	for key, r := range l.seen {
		if now.Sub(r.since) >= l.interval {
			delete(l.seen, key)
		}
	}
}
