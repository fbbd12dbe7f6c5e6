package peer

import (
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// Limiter bounds how many connections are open at the same time: of each user, by
// whatever UIDs, and of all users together. Where these have all there are, whoever has
// the most loses the newest one to who has less. Root's count against a bound of
// root's own. It is safe for concurrent use.
type Limiter struct {
	// Accounts says which UIDs are one user.
	Accounts *proc.Accounts

	places *share.Pool
}

// NewLimiter makes a Limiter that lets each user have perUser connections, and
// all users but root total; and root as many.
func NewLimiter(perUser, total int) *Limiter {
	return &Limiter{places: share.NewPool(share.Bounds{User: perUser, Users: total, Root: total})}
}

// acquire takes a place for a connection of the peer's, if there is one. The place is
// given back by release, which may be called more than once. evict is called where it
// is taken away; it must not wait.
func (l *Limiter) acquire(c Credentials, evict func()) (release func(), ok bool) {
	account := share.Account{UID: c.UID()}
	if c.IsUser() {
		account = l.Accounts.Of(c.PID, c.UID(), c.alive)
	}
	return l.places.TakeEvictable(account, evict)
}

// alive reports whether the peer's process has not ended. In doubt it has.
func (c Credentials) alive() bool { return c.Pidfd != nil && !ended(c.Pidfd) }
