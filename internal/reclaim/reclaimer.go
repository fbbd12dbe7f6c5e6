package reclaim

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/logging"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// Mode is what is done with what a dead build has left.
type Mode string

// Modes, as in the configuration.
const (
	Own    Mode = "own"    // it is removed where it is only that build's
	Report Mode = "report" // it is only told
	Off    Mode = "off"    // nothing is looked at
)

// Runner has a helper do a job as the user, and returns what it has done.
type Runner func(ctx context.Context, uid uint32, job Job) (Result, error)

// Metrics is told of what was done.
type Metrics interface {
	// Reclaimed is told of each helper that has run: how many things it has removed and has
	// left, and what those took that it has removed.
	Reclaimed(removed, left int, bytes int64, took time.Duration, err error)
}

// Options is what a Reclaimer is made of.
type Options struct {
	Mode     Mode
	Dir      string // of the daemon's state, "" for none
	Run      Runner
	Accounts *proc.Accounts
	Reader   *proc.Reader // for looks at mounts, which a user can hold up
	Metrics  Metrics
	// Told is called with what was done about a build; it may be nil, and must not wait.
	Told func(Done)
	Log  *logrus.Entry

	pauses []time.Duration // tests have others
	next   rebuild
}

// Done is what a helper has done about what a build had left, and what all have so far.
type Done struct {
	Build string
	UID   uint32
	Sum
	SoFar Sum
	kept  int64 // bytes, of what is left
}

// Sum is what was done.
type Sum struct {
	Removed int           `json:"removed,omitempty"`
	Left    int           `json:"left,omitempty"`
	Bytes   int64         `json:"bytes,omitempty"` // that were given back
	Took    time.Duration `json:"took,omitempty"`
	Why     string        `json:"why,omitempty"` // what is left was left, for people
}

// and is what was done by both, the one after the other.
func (s Sum) and(next Sum) Sum {
	return Sum{s.Removed + next.Removed, next.Left, s.Bytes + next.Bytes, s.Took + next.Took, next.Why}
}

// What there may be at the same time: dead builders whose leavings are not done with; helpers
// that run, one of each user; and entries that are written down, each by a thread, for as long
// as the disk takes.
var (
	dead    = share.Bounds{User: 1024, Users: 2048, Spare: 512, Few: 16, Root: 1024}
	helpers = share.Bounds{User: 1, Users: 4, Spare: 1, Few: 1, Root: 1}
	writes  = share.Bounds{User: 2, Users: 8, Spare: 2, Few: 1, Root: 4}
)

// Reclaimer waits for the end of builders, and then has removed what they have left. Its
// methods are safe for concurrent use, and never wait for a user.
type Reclaimer struct {
	Options
	ledger ledger
	boot   string
	places *share.Pool
	writes *share.Pool
	dead   *share.Pool
	alone  *share.Pool // of builders without a step

	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex // lock order: 3
	entries map[key]*waiting
	lately  []string // builds that are over
}

// waiting is an entry whose builder is waited for.
type waiting struct {
	entry
	over chan struct{} // closed when no process of its build is left
	once sync.Once
	// named is closed when a step of the builder's was seen, and so its build has an ID.
	named chan struct{}
	// writing is held while the entry is written down; unwritten: somebody is about to.
	writing   sync.Mutex // lock order: 2
	unwritten atomic.Bool
	release   func() // its place among the builders without a step
	// waits are the processes that only wait for the builder.
	waits []proc.Identity
	// looks are the looks at steps that are under way: the builder's end waits for them.
	looks sync.WaitGroup
	// patience is how long over is waited for after the builder's end.
	patience time.Duration

	ended time.Time // the builder, as far as is known; its waiter's own
	dead  bool      // the builder is
	gone  bool      // nothing of it is waited for any more
	// again holds a token when another builder of the user's is done with: what could not be
	// told from what that one has made may be told now.
	again chan struct{}
}

func newWaiting(e entry) *waiting {
	w := &waiting{entry: e, over: make(chan struct{}), named: make(chan struct{}), again: make(chan struct{}, 1), patience: overPatience, release: func() {}}
	if e.Build != "" {
		close(w.named)
	}
	return w
}

// New returns a Reclaimer that knows what an earlier daemon has kept, and does nothing about it
// before Begin.
func New(options Options) *Reclaimer {
	life, end := context.WithCancel(context.Background())
	r := &Reclaimer{Options: options, life: life, end: end, places: share.NewPool(helpers), writes: share.NewPool(writes), dead: share.NewPool(dead), alone: share.NewPool(builders), entries: map[key]*waiting{}}
	if r.pauses == nil {
		r.pauses, r.next = pauses, nextBuild
	}
	if r.Mode == Off {
		return r
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		r.boot = strings.TrimSpace(string(boot))
	}
	if r.ledger, err = openLedger(r.Dir); err != nil {
		r.Log.WithError(err).Error("What builds use in storage is not kept: of those that end while the daemon is away it stays")
	}
	kept, err := r.ledger.load()
	if err != nil {
		r.Log.WithError(err).Warn("What an earlier daemon has kept of builds' storage can't be read, and is left alone")
	}
	for _, e := range kept {
		w := newWaiting(*e)
		w.patience = keptPatience
		r.entries[e.key()] = w
	}
	return r
}

// Begin takes up what an earlier daemon has kept.
func (r *Reclaimer) Begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now().UnixMicro()
	for _, w := range r.entries {
		if w.Span.To == 0 && w.Boot == r.boot {
			w.unwatched(w.Seen, now+slack)
		}
		r.running.Go(func() { r.wait(w) })
	}
}

// Close ends the waiting. A helper that runs is left to run.
func (r *Reclaimer) Close() {
	r.end()
	r.running.Wait()
	for _, w := range r.leave() {
		r.keep(w)
	}
}

// leave notes of all builders that live when they were seen last.
func (r *Reclaimer) leave() (live []*waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.entries {
		if !w.dead {
			w.Seen, w.Away = time.Now().UnixMicro(), true
			live = append(live, w)
		}
	}
	return live
}

// add begins to wait for an entry's builder. It is called with the lock.
func (r *Reclaimer) add(w *waiting) {
	r.entries[w.key()] = w
	r.running.Go(func() { r.wait(w) })
}

// entryFor is that of a step, a new one if need be. It is called with the lock.
func (r *Reclaimer) entryFor(step Step) *waiting {
	k := key{step.Build, step.Builder.Identity}
	if w := r.entries[k]; w != nil {
		return w
	}
	alone := key{"", step.Builder.Identity}
	if w := r.entries[alone]; w != nil && !step.Builder.Serves {
		delete(r.entries, alone)
		r.ledger.drop(alone)
		w.Build = step.Build
		r.entries[k] = w
		close(w.named)
		return w
	}
	e := entryOf(step.Build, step.Builder, r.boot, step.start())
	e.Request = step.Request
	w := newWaiting(e)
	r.add(w)
	return w
}

// Seen takes up a step: what its monitor has mounted for it is looked at in the background.
func (r *Reclaimer) Seen(step Step) {
	if r.Mode == Off || r.life.Err() != nil {
		return
	}
	now := time.Now().UnixMicro()
	r.mu.Lock()
	w := r.entryFor(step)
	if slices.Contains(r.lately, step.Build) {
		w.once.Do(func() { close(w.over) })
	}
	w.Seen = max(w.Seen, now)
	w.looks.Add(1)
	r.mu.Unlock()
	r.running.Go(func() {
		defer w.looks.Done()
		r.look(w, step.Monitor)
		r.keep(w)
	})
}

// lookLimit bounds a look at a monitor's mounts.
const lookLimit = time.Second

// look finds out what a step uses, and keeps it.
func (r *Reclaimer) look(w *waiting, monitor proc.Identity) {
	handle, err := proc.Find(monitor)
	if err != nil {
		return
	}
	defer handle.Close()
	ctx, cancel := context.WithTimeout(r.life, lookLimit)
	defer cancel()
	used, err := proc.Within(ctx, r.Reader, r.Accounts.OfProcess(handle, w.UID), func() (Witness, error) { return witnessBy(monitor.PID) })
	if err != nil || !handle.Alive() {
		r.Log.WithField(logging.FieldID, w.Build).WithError(err).Debugf("Build %s: what a step uses in storage can't be told", w.Build)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w.use(used)
}

// keep writes the entry down, as it is now, or leaves that to who is about to. It is called
// without the lock: a disk takes its time.
func (r *Reclaimer) keep(w *waiting) {
	if w.unwritten.Swap(true) {
		return
	}
	w.writing.Lock() // before a place among the writes of the user: who waits here must hold none
	defer w.writing.Unlock()
	release, err := r.writes.Wait(context.Background(), r.Accounts.OfUID(w.UID))
	if err != nil {
		return
	}
	defer release()
	w.unwritten.Store(false)
	r.mu.Lock()
	e, k, gone := w.entry, w.key(), w.gone
	r.mu.Unlock()
	if gone {
		return
	}
	if err := r.ledger.keep(&e); err != nil {
		r.Log.WithError(err).Debug("What a build uses in storage is not kept")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.gone || w.key() != k { // the file was removed meanwhile, or not yet there for that
		r.ledger.drop(k)
	}
}

// maxLately is how many builds are remembered that are over: a step may be told of later
// than its build's end.
const maxLately = 64

// Over tells that no process of the build is left. settled: it is over by itself, and nobody
// has ended it.
func (r *Reclaimer) Over(build string, settled bool) {
	if r.Mode == Off {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lately = append(r.lately, build); len(r.lately) > maxLately {
		r.lately = r.lately[1:]
	}
	for _, w := range r.entries {
		if w.Build != build {
			continue
		}
		now := time.Now().UnixMicro()
		if w.Serves && !w.dead {
			w.Span.To = now
			if settled {
				// The service lives, and its request has ended in order: what is left of it
				// was asked for.
				r.forget(w, true)
			}
		}
		w.once.Do(func() { close(w.over) })
	}
}

// forget drops an entry; keeps says whether its build may have left something on purpose. It is
// called with the lock.
func (r *Reclaimer) forget(w *waiting, keeps bool) {
	w.gone = true
	delete(r.entries, w.key())
	r.ledger.drop(w.key())
	ended := Other{Span: w.Span, Keeps: keeps}
	if ended.To == 0 {
		ended.To = time.Now().UnixMicro()
	}
	for _, other := range r.entries {
		if other.UID == w.UID {
			select {
			case other.again <- struct{}{}:
			default:
			}
			other.beside(ended)
			if keeps && r.life.Err() == nil {
				r.running.Go(func() { r.keep(other) })
			}
		}
	}
}

// beside are the user's other builders that live, or keep what they have made. It is called with
// the lock.
func (r *Reclaimer) beside(but *waiting) (others []Other) {
	for _, w := range r.entries {
		// In another of its builds; or, of a service, besides them.
		same := w.Builder == but.Builder && (!w.Serves || w.Build == "" || but.Build == "")
		if w != but && w.UID == but.UID && !same && (!w.dead || w.Keeps) {
			others = append(others, Other{Span: w.Span, Keeps: true})
		}
	}
	return others
}

// reclaim has a helper remove what is left, and reports whether that was all.
func (r *Reclaimer) reclaim(w *waiting, try int) (done bool) {
	r.mu.Lock()
	job := w.job(r.beside(w), r.Mode == Report)
	uid := w.UID
	r.mu.Unlock()
	release, err := r.places.Wait(r.life, r.Accounts.OfUID(uid))
	if err != nil {
		return false
	}
	defer release()
	begun := time.Now()
	result, err := r.Run(r.life, uid, job)
	if err == nil && result.Error != "" {
		err = errors.New(result.Error)
	}
	sum := sumOf(result.Items)
	if r.life.Err() != nil {
		return false
	}
	took := time.Since(begun)
	r.Metrics.Reclaimed(sum.removed, sum.left, sum.bytes, took, err)
	r.tell(w, sum, try, took, err)
	if err == nil && sum.left == 0 {
		r.finish(w)
		return true
	}
	return r.Mode == Report || err == nil && !sum.again
}

func (r *Reclaimer) finish(w *waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !w.gone {
		r.forget(w, w.Keeps)
	}
}

// summary is what a helper has said.
type summary struct {
	removed, left int
	bytes         int64 // that were given back
	kept          int64 // that were not
	why           map[Why]int
	// again: it may be different later.
	again bool
}

func sumOf(items []Item) (s summary) {
	s.why = map[Why]int{}
	for _, item := range items {
		if item.Removed {
			s.removed++
			s.bytes += item.Bytes
			continue
		}
		s.left++
		s.kept += item.Bytes
		s.why[item.Why]++
		switch item.Why {
		case WhyDoubt, WhyUsed, WhyFailed, WhyMounted:
			s.again = true
		}
	}
	return s
}
