package reclaim

import (
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// builders is how many builders may be waited for that were without a step when they were seen: a user can start any
// number of them, and each costs a descriptor and a file. Those with a step are builds, of which
// package owners bounds the number.
var builders = share.Bounds{User: 128, Users: 1024, Spare: 256, Few: 4}

// SeenBuilder takes up a builder that may never have a step: what it makes is its own as long as
// nobody else is there who could have made it. waits are those who only wait for it. Before since
// nobody has looked for builders.
func (r *Reclaimer) SeenBuilder(b Builder, waits []proc.Identity, since time.Time) {
	if r.Mode == Off || r.life.Err() != nil || !podman.MakesStages(b.Command) {
		return
	}
	if w := r.takeUp(b, waits, since); w != nil {
		r.keep(w)
	}
}

// takeUp is the entry of a builder that is new; nil for one that is known, or that only waits.
func (r *Reclaimer) takeUp(b Builder, waits []proc.Identity, since time.Time) *waiting {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := false
	for k, w := range r.entries {
		switch {
		case w.Builder == b.Identity && (k.build == "" || !b.Serves):
			known, w.waits, w.Seen = true, waits, max(w.Seen, time.Now().UnixMicro())
		case slices.Contains(w.waits, b.Identity):
			known = true
		case k.build == "" && slices.Contains(waits, k.builder):
			w.gone = true
			delete(r.entries, k)
			r.ledger.drop(k)
		}
	}
	if known {
		return nil
	}
	release, ok := r.alone.Take(r.Accounts.OfUID(b.UID))
	if !ok { // whatever it makes may be anybody's
		for _, w := range r.entries {
			if w.UID == b.UID {
				w.beside(Other{Span{From: b.start()}, true})
			}
		}
		return nil
	}
	e := entryOf("", b, r.boot, b.start())
	e.unwatched(e.Span.From, since.UnixMicro())
	w := newWaiting(e)
	w.waits, w.release = waits, release
	r.add(w)
	return w
}
