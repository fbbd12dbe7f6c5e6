package request

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

const (
	// every is how often connections are looked at while a request is served, and rarely
	// how often its own where the kernel tells of the client's end: what is left is that the
	// service closes it first.
	every  = 500 * time.Millisecond
	rarely = 10 * time.Second
	// first is the pause before the second look at a request whose directory is
	// gone, or a peer; pauses double from there, up to quick while it is soon. The
	// connection is closed right after the handler has removed the directory.
	first = 5 * time.Millisecond
	quick = 40 * time.Millisecond
	soon  = 5 * time.Second
	// rest is how many times longer than a look the pause after it is: a service may
	// have very many connections.
	rest = 10
	// patience is how long a directory may be gone, and the connection not, before
	// that is told.
	patience = 100 * time.Millisecond
)

// Watcher waits for the ends of requests. It costs nothing while none is waited
// for, and is safe for concurrent use.
type Watcher struct {
	reader *proc.Reader
	clock  clock

	mu      sync.Mutex // lock order: 6
	waiting int
	removed chan struct{} // closed, and replaced, when something was removed from a parent directory
	notify  *os.File      // inotify(7); nil while nobody waits, or where there is none
	done    chan struct{} // closed when notify is no longer read
}

// NewWatcher returns a watcher, which reads what may hang by the reader.
func NewWatcher(reader *proc.Reader) *Watcher {
	return &Watcher{reader: reader, clock: newClock(), removed: make(chan struct{})}
}

// Wait returns nil when the request is over, or the context's error. changed is
// called first with what is seen of the request, and again with each change.
func (w *Watcher) Wait(ctx context.Context, r Request, changed func(Sight)) error {
	s, err := w.find(r.Service)
	if errors.Is(err, proc.ErrGone) {
		changed(Sight{Over, len(r.Dirs), len(r.Dirs), len(r.Conns), len(r.Conns), r.Partial})
		return nil
	}
	if err != nil {
		return fmt.Errorf("the API service: %w", err)
	}
	defer s.Close()
	w.begin()
	defer w.end()
	later := newHangups()
	defer later.close()
	f := follow(r.current())
	search := newSearch(f.request)
	defer search.close()
	told, pace := Sight{Standing: -1}, pace{pause: every}
	for {
		removed := w.next() // before the look, so that nothing is missed
		if f.request.Partial {
			w.complete(ctx, s, f)
		}
		if search.due(told.Standing == Doubtful || told.Standing == Left, time.Now()) {
			w.seek(ctx, s, search, f)
		}
		began, removals := time.Now(), len(f.removals)
		seen := f.see(w.look(ctx, s, f.request, later))
		pace.see(seen.Standing == Left, f.stirs(), len(f.removals) > removals)
		if seen.Standing == Over || seen != told && pace.sure() {
			changed(seen)
			told = seen
		}
		if seen.Standing == Over {
			return nil
		}
		timer := time.NewTimer(pace.after(time.Since(began), f.request.Own && later.tells(f.request.Conns[0])))
		select {
		case <-removed:
		case <-later.told:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// pace is how soon the next look comes.
type pace struct {
	pause         time.Duration
	left, stirred time.Time // since when the directory is gone, or something is about to happen
}

// see takes up what a look has shown.
func (p *pace) see(left, stirs, removal bool) {
	p.left, p.stirred = since(p.left, left), since(p.stirred, stirs)
	soonAfter := func(t time.Time) bool { return !t.IsZero() && time.Since(t) < soon }
	switch {
	case !soonAfter(p.left) && !soonAfter(p.stirred):
		p.pause = every
	case removal, p.pause == every:
		p.pause = first
	default:
		p.pause = min(2*p.pause, quick)
	}
}

// since keeps the time at which something came to hold.
func since(when time.Time, holds bool) time.Time {
	switch {
	case !holds:
		return time.Time{}
	case when.IsZero():
		return time.Now()
	}
	return when
}

// sure reports whether a directory has been gone for long enough to tell of it.
func (p *pace) sure() bool { return p.left.IsZero() || time.Since(p.left) >= patience }

// after is the pause after a look that took so long. told says that the end of the request's
// client will be told.
func (p *pace) after(took time.Duration, told bool) time.Duration {
	switch {
	case p.pause != every:
		return p.pause
	case told:
		return max(rarely, rest*took)
	}
	return max(every, rest*took)
}

// service is an API service's process, and for whose account it is looked at.
type service struct {
	*proc.Handle
	account share.Account
}

func (w *Watcher) find(id proc.Identity) (service, error) {
	h, err := proc.Find(id)
	if err != nil {
		return service{}, err
	}
	s, err := w.serving(h)
	if err != nil {
		h.Close()
	}
	return s, err
}

func (w *Watcher) serving(h *proc.Handle) (service, error) {
	of, err := w.accountOf(h)
	return service{h, of}, err
}

func (w *Watcher) accountOf(h *proc.Handle) (share.Account, error) {
	uid, err := h.UID()
	if err != nil {
		return share.Account{}, fmt.Errorf("whose process %d is: %w", h.PID, err)
	}
	return w.reader.OfProcess(h, uid), nil
}

// look looks at the request's directories and connections.
func (w *Watcher) look(ctx context.Context, service service, r Request, later *hangups) moment {
	// What is seen of the connections belongs to what is seen of the directories: that
	// is the same before and after.
	m := moment{gone: r.gone()}
	for {
		m.at, m.conns = time.Now(), w.lookAtConns(ctx, service, r, later)
		after := r.gone()
		if slices.Equal(after, m.gone) {
			return m
		}
		m.gone = after
	}
}

// gone says of each directory whether it is gone.
func (r Request) gone() []bool {
	gone := make([]bool, len(r.Dirs))
	for i, d := range r.Dirs {
		gone[i] = d.gone()
	}
	return gone
}

// lookAtConns says of each connection how much of it is over, and returns nil where that
// can't be seen.
func (w *Watcher) lookAtConns(ctx context.Context, service service, r Request, later *hangups) []end {
	ctx, cancel := context.WithTimeoutCause(ctx, longLimit, errSlow)
	defer cancel()
	ends, err := proc.Within(ctx, w.reader, service.account, func() ([]end, error) { return sights(service.Handle, r.Conns, later) })
	if err != nil {
		return nil
	}
	return ends
}

// complete lists the service's connections again, where not all were listed: as long as
// a directory of the request's is there, so is its handler, and the handler's connection.
func (w *Watcher) complete(ctx context.Context, service service, f *follower) {
	conns, all, err := w.accepted(ctx, service, longLimit)
	if err != nil || !all || len(f.request.Dirs) == 0 {
		return
	}
	if slices.Contains(f.request.gone(), true) {
		return
	}
	f.request.Conns, f.request.Partial, f.request.seen = conns, false, time.Now()
	*f = *follow(f.request)
}

// accepted is what the service has accepted, by a reader that is left behind.
func (w *Watcher) accepted(ctx context.Context, service service, limit time.Duration) ([]Conn, bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
	defer cancel()
	type answer struct {
		conns []Conn
		all   bool
	}
	a, err := proc.Within(ctx, w.reader, service.account, func() (a answer, err error) {
		a.conns, a.all, err = accepted(service.Handle)
		return a, err
	})
	return a.conns, a.all, err
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

// calm is how long the reader pauses between two rounds: a user may remove such
// directories as fast as it likes.
const calm = time.Millisecond

// read wakes those who wait for each batch of removals. What was removed they see
// for themselves.
func (w *Watcher) read(notify *os.File, done chan struct{}) {
	defer close(done)
	events := make([]byte, 64<<10)
	for {
		n, err := notify.Read(events)
		if err != nil {
			return // closed by end
		}
		if !tellsOfRequests(events[:n]) {
			continue
		}
		w.mu.Lock()
		close(w.removed)
		w.removed = make(chan struct{})
		w.mu.Unlock()
		time.Sleep(calm)
	}
}

// tellsOfRequests reports whether one of the events may be of a request's directory: others
// remove files there as well.
func tellsOfRequests(events []byte) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(events[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		if mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) == 0 || end > len(events) {
			return true // events were lost, or the parent is gone
		}
		name, _, _ := bytes.Cut(events[unix.SizeofInotifyEvent:end], []byte{0})
		if podman.IsRequest(string(name)) {
			return true
		}
		events = events[end:]
	}
	return false
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
