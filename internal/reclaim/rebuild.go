package reclaim

import (
	"context"
	"time"
)

// Who cancels a build often builds again at once, mostly from cache, and in less time than the
// removal takes: processors, podman's locks and the disk are then the new build's. What is left can
// wait, but not for long.
type rebuild struct {
	begin time.Duration // after the builder's end: in that time the next build may begin
	pause time.Duration // between looks whether the next build is over
	limit time.Duration // after the builder's end
}

var nextBuild = rebuild{begin: time.Second, pause: 100 * time.Millisecond, limit: 3 * time.Second}

// wait waits for as long as builds says that somebody builds.
func (n rebuild) wait(ctx context.Context, ended time.Time, builds func() bool) {
	ctx, cancel := context.WithDeadline(ctx, ended.Add(n.limit))
	defer cancel()
	for pause := time.Until(ended.Add(n.begin)); ; pause = n.pause {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if !builds() {
			return
		}
	}
}

// builds reports whether a build of the user's is under way: by a builder of its own, or a request
// to a service.
func (r *Reclaimer) builds(uid uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.entries {
		if w.UID == uid && !w.dead && w.Span.To == 0 && (!w.Serves || w.Build != "") {
			return true
		}
	}
	return false
}
