package request

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

const (
	// every is how often connections are looked at while a request is served.
	every = 500 * time.Millisecond
	// first is the pause before the second look at a request whose directory is
	// gone; pauses double from there, up to quick while it is soon. The handler
	// closes the connection right after it has removed the directory.
	first = 5 * time.Millisecond
	quick = 40 * time.Millisecond
	soon  = 5 * time.Second
	// patience is how long a directory may be gone, and the connection not, before
	// that is told.
	patience = 100 * time.Millisecond
)

// Watcher waits for the ends of requests. It costs nothing while none is waited
// for. Its methods may be called at once.
type Watcher struct {
	reader *proc.Reader

	mu      sync.Mutex
	waiting int
	removed chan struct{} // closed, and replaced, when something was removed from a parent directory
	notify  *os.File      // inotify(7); nil while nobody waits, or where there is none
	done    chan struct{} // closed when notify is no longer read
}

// NewWatcher returns a watcher, which reads what may hang by the reader.
func NewWatcher(reader *proc.Reader) *Watcher {
	return &Watcher{reader: reader, removed: make(chan struct{})}
}

// Wait returns nil when the request is over, or the context's error. changed is
// called first with what is seen of the request, and again with each change.
func (w *Watcher) Wait(ctx context.Context, r Request, changed func(Sight)) error {
	w.begin()
	defer w.end()
	told, pause := Sight{Standing: -1}, every
	var left time.Time // when the directory was first seen gone
	for {
		removed := w.next() // before the look, so that nothing is missed
		now := r.look()
		switch {
		case now.Standing == Over:
			changed(now)
			return nil
		case now.Standing != Left:
			left, pause = time.Time{}, every
		case left.IsZero():
			left, pause = time.Now(), first
		case time.Since(left) < soon:
			pause = min(2*pause, quick)
		default:
			pause = every
		}
		if now != told && (now.Standing != Left || time.Since(left) >= patience) {
			changed(now)
			told = now
		}
		timer := time.NewTimer(pause)
		select {
		case <-removed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// look finds out how the request stands now.
func (r Request) look() Sight {
	var now Sight
	for _, d := range r.Dirs {
		if d.gone() {
			now.DirsGone++
		}
	}
	for _, c := range r.Conns {
		if c.gone() {
			now.ConnsGone++
		}
	}
	now.Standing = r.standing(now.DirsGone, now.ConnsGone)
	return now
}

func (w *Watcher) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.removed
}

// begin sees to it that removals are noticed. Without inotify the pauses are all
// that is left: later, not wrong.
func (w *Watcher) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting++
	if w.notify != nil {
		return
	}
	notify, err := watchParents()
	if err != nil {
		return
	}
	w.notify, w.done = notify, make(chan struct{})
	go w.read(notify, w.done)
}

func (w *Watcher) end() {
	w.mu.Lock()
	w.waiting--
	notify, done := w.notify, w.done
	if w.waiting > 0 || notify == nil {
		w.mu.Unlock()
		return
	}
	w.notify = nil
	w.mu.Unlock()
	_ = notify.Close()
	<-done
}

// calm is how long the reader pauses between two rounds: others may remove files
// there as fast as they like.
const calm = time.Millisecond

// read wakes those who wait for each batch of removals. What was removed they see
// for themselves.
func (w *Watcher) read(notify *os.File, done chan struct{}) {
	defer close(done)
	events := make([]byte, 64<<10)
	for {
		if _, err := notify.Read(events); err != nil {
			return // closed by end
		}
		w.mu.Lock()
		close(w.removed)
		w.removed = make(chan struct{})
		w.mu.Unlock()
		time.Sleep(calm)
	}
}

func watchParents() (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	const removals = unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_ONLYDIR
	watched := 0
	for _, parent := range parents {
		if _, err = unix.InotifyAddWatch(fd, parent, removals); err == nil {
			watched++
		}
	}
	if watched == 0 {
		unix.Close(fd)
		return nil, fmt.Errorf("inotify: %w", err)
	}
	return os.NewFile(uintptr(fd), "inotify"), nil
}
