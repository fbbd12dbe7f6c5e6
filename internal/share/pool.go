// Package share divides among the host's users what the daemon has for all of them:
// connections, builds, reads that may hang, orders to systemd. It owns who counts as
// one user, and who gets the next place. It knows nothing of what a place is for, and
// reads nothing.
package share

import (
	"context"
	"slices"
	"sync"
)

// Account is whom something is counted for: everything that one login user can bring
// about, by whatever UID, counts together. The zero value is root's. Package proc
// tells a process's.
type Account struct {
	// UID is the login user's.
	UID uint32
	// Namespace is set for who lives in a user namespace that root has made, and can
	// take any UID there: all of them are one.
	Namespace uint64
}

// IsRoot reports whether it is the host's root.
func (a Account) IsRoot() bool { return a == Account{} }

// Bounds say how many places there are at the same time.
type Bounds struct {
	User  int // for one user
	Users int // for all users together, root not counted
	// Of those, the last Spare ones are for users who have fewer than Few: however
	// many there are who take what they can, who needs little finds a place.
	Spare, Few int
	Root       int // root's own; 0 for no bound
}

// Pool has places. It is safe for concurrent use.
type Pool struct {
	bounds Bounds

	mu      sync.Mutex           // lock order: 8
	held    map[Account][]*place // oldest first; no entry for none
	users   int                  // places of all but root
	waiting map[Account][]chan *place
	turns   []Account // who waits, whose turn is next first
}

// place is one that somebody has.
type place struct {
	account Account
	evict   func() // nil: it can't be taken away
}

// NewPool makes a Pool.
func NewPool(bounds Bounds) *Pool {
	return &Pool{bounds: bounds, held: map[Account][]*place{}, waiting: map[Account][]chan *place{}}
}

// InUse is how many places are taken.
func (p *Pool) InUse() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.users + len(p.held[Account{}])
}

// Waiting is how many wait for a place.
func (p *Pool) Waiting() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, waiting := range p.waiting {
		n += len(waiting)
	}
	return n
}

// Take takes a place, if there is one for the account now. release gives it back, and
// may be called more than once.
func (p *Pool) Take(a Account) (release func(), ok bool) { return p.TakeEvictable(a, nil) }

// Force takes a place even where there is none for the account: for what is there
// already.
func (p *Pool) Force(a Account) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.release(p.take(a, nil))
}

// TakeEvictable is Take for a place that may be taken away again: where all are taken,
// whoever has the most loses their newest one to who has less, and the loser's evict
// is called. It must not wait.
func (p *Pool) TakeEvictable(a Account, evict func()) (release func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.free(a) && (evict == nil || !p.makeRoom(a)) {
		return func() {}, false
	}
	return p.release(p.take(a, evict)), true
}

// Wait takes a place, and waits for one until the context ends, whose cause it
// returns then. Those who wait get their turn user by user, and of each user in the
// order in which they came.
func (p *Pool) Wait(ctx context.Context, a Account) (release func(), err error) {
	p.mu.Lock()
	if p.free(a) {
		defer p.mu.Unlock()
		return p.release(p.take(a, nil)), nil
	}
	granted := make(chan *place, 1)
	if len(p.waiting[a]) == 0 {
		p.turns = append(p.turns, a)
	}
	p.waiting[a] = append(p.waiting[a], granted)
	p.mu.Unlock()
	select {
	case got := <-granted:
		return p.release(got), nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[a] = slices.DeleteFunc(p.waiting[a], func(other chan *place) bool { return other == granted })
	p.tidy(a)
	select {
	case got := <-granted: // it came in the same moment
		p.drop(got)
	default:
	}
	return nil, context.Cause(ctx)
}

// free reports whether there is a place for the account. It is called with the lock.
func (p *Pool) free(a Account) bool {
	have := len(p.held[a])
	if a.IsRoot() {
		return p.bounds.Root == 0 || have < p.bounds.Root
	}
	left := p.bounds.Users - p.users
	return have < p.bounds.User && (left > p.bounds.Spare || left > 0 && have < p.bounds.Few)
}

// makeRoom takes a place away from who has the most, if they would still not have less
// than the account then. It is called with the lock.
func (p *Pool) makeRoom(a Account) bool {
	have := len(p.held[a])
	if a.IsRoot() || have >= p.bounds.User {
		return false
	}
	var loser *place
	most := have + 1
	for other, places := range p.held {
		newest := places[len(places)-1]
		if len(places) > most && !other.IsRoot() && newest.evict != nil {
			loser, most = newest, len(places)
		}
	}
	if loser == nil {
		return false
	}
	p.remove(loser)
	go loser.evict() // aside: it gives back its place, which takes the lock
	return true
}

func (p *Pool) take(a Account, evict func()) *place {
	taken := &place{account: a, evict: evict}
	p.held[a] = append(p.held[a], taken)
	if !a.IsRoot() {
		p.users++
	}
	return taken
}

func (p *Pool) release(taken *place) func() {
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.drop(taken)
	}
}

// drop gives a place back, and to whoever waits for it. It is called with the lock.
func (p *Pool) drop(taken *place) {
	if !p.remove(taken) {
		return // before, or it was taken away
	}
	for i := 0; i < len(p.turns); {
		a := p.turns[i]
		if !p.free(a) {
			i++
			continue
		}
		next := p.waiting[a][0]
		p.waiting[a] = p.waiting[a][1:]
		p.turns = append(slices.Delete(p.turns, i, i+1), a)
		p.tidy(a)
		next <- p.take(a, nil)
		i = 0
	}
}

func (p *Pool) remove(taken *place) bool {
	places := p.held[taken.account]
	at := slices.Index(places, taken)
	if at < 0 {
		return false
	}
	if p.held[taken.account] = slices.Delete(places, at, at+1); len(places) == 1 {
		delete(p.held, taken.account)
	}
	if !taken.account.IsRoot() {
		p.users--
	}
	return true
}

// tidy forgets that the account waits, where it does not.
func (p *Pool) tidy(a Account) {
	if len(p.waiting[a]) == 0 {
		delete(p.waiting, a)
		p.turns = slices.DeleteFunc(p.turns, func(other Account) bool { return other == a })
	}
}
