package reclaim

import (
	"errors"
	"time"

	"github.com/buildwatch/buildwatch/internal/logging"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// How long a build's processes may outlive its builder before it is looked what is left all
// the same: the helper leaves alone what it sees a process use. What has survived SIGKILL
// keeps its mounts, by which it can be told what it waits for. Of a build that an earlier
// daemon has seen nobody may be left to tell its end.
const (
	overPatience = time.Hour
	keptPatience = 3 * time.Second
	// stepPatience is for a builder of which no step was seen: one may have been left that is
	// seen as an orphan.
	stepPatience = time.Second
)

// pauses are those before further tries. What is left after them is told, and left.
var pauses = []time.Duration{2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 10 * time.Minute, time.Hour}

// wait waits for the builder's end, and has removed what it has left.
func (r *Reclaimer) wait(w *waiting) {
	defer w.release() // no sooner: a user may start builders faster than helpers can follow
	if !r.waitForEnd(w) {
		return
	}
	release, ok := r.dead.Take(r.Accounts.OfUID(w.UID))
	if !ok {
		r.Log.WithField(logging.FieldID, w.Build).Debugf("Build %s: its user has many dead builds: what it has left in storage stays", w.Build)
		r.giveUp(w)
		return
	}
	defer release()
	w.looks.Wait()
	if r.Mode == Own {
		r.next.wait(r.life, w.ended, func() bool { return r.builds(w.UID) })
	}
	for try := 0; !r.reclaim(w, try); {
		switch {
		case r.life.Err() != nil: // the next daemon goes on with it
			return
		case try == len(r.pauses):
			r.giveUp(w)
			return
		}
		select {
		case <-time.After(r.pauses[try]):
			try++
		case <-w.again:
		case <-r.life.Done():
			return
		}
	}
}

// giveUp forgets a build of which something stays: that is told, and what others leave may be this.
func (r *Reclaimer) giveUp(w *waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !w.gone {
		r.forget(w, true)
	}
}

// waitForEnd reports whether the builder has ended, with its build.
func (r *Reclaimer) waitForEnd(w *waiting) bool {
	handle, err := r.find(w)
	for ; err != nil && !errors.Is(err, proc.ErrGone); handle, err = r.find(w) {
		select {
		case <-time.After(time.Second):
		case <-r.life.Done():
			return false
		}
	}
	var end int64
	if err == nil {
		r.mu.Lock()
		w.Away = false
		r.mu.Unlock()
		err := handle.Wait(r.life)
		handle.Close()
		if err != nil {
			return false
		}
		end = time.Now().UnixMicro()
	}
	w.ended = time.Now()
	r.mu.Lock()
	w.dead = true
	if w.Span.To == 0 { // else an earlier daemon has seen its end
		if end == 0 {
			end = r.unseenEnd(w)
		}
		w.Span.To = end
	}
	gone := w.gone
	r.mu.Unlock()
	if gone {
		return false
	}
	r.keep(w)
	select {
	case <-w.named:
	case <-time.After(stepPatience):
		return true
	case <-r.life.Done():
		return false
	}
	select {
	case <-w.over:
	case <-time.After(w.patience):
	case <-r.life.Done():
		return false
	}
	return true
}

// unseenEnd is when a builder has ended while nobody was there to see it: not before it was last
// seen. It is called with the lock.
func (r *Reclaimer) unseenEnd(w *waiting) int64 {
	switch _, boot, err := proc.Boot(); {
	case w.Away, err != nil:
		return w.Seen
	case w.Boot != r.boot: // the daemon was there until the host was not
		return max(w.Seen, boot.UnixMicro())
	}
	now := time.Now().UnixMicro()
	w.unwatched(w.Seen, now)
	return now
}

// find takes hold of the builder.
func (r *Reclaimer) find(w *waiting) (*proc.Handle, error) {
	if w.Boot != r.boot {
		return nil, proc.ErrGone
	}
	return proc.Find(w.Builder)
}
