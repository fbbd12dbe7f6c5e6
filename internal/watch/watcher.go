// Package watch is the registry of builds. It keeps the time, turns what happens to a build into
// the events that package lifecycle decides on, has the decision carried out, and informs those
// who watch. Package owners finds whom a build belongs to; package processes acts on its
// processes. This package looks at no process itself, speaks to nobody, writes no file, and
// believes nothing that a message says about its sender.
package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// Timeouts bound the rungs of the ladder.
type Timeouts lifecycle.Timeouts

// Policy is what is done with builds that are over, and when one is.
type Policy struct {
	Report     bool          // what nobody wants any more is reported, and not ended
	MaxRuntime time.Duration // of every build, counted from its beginning; 0 for no end
}

// Metrics counts what happens.
type Metrics interface {
	BuildStarted(mode api.Mode)
	// AbandonedReported: the build would have been ended for that reason, but for
	// the policy.
	AbandonedReported(reason api.Reason)
	// BuildEnded: lived is from the first RUN step to gone; cancel from the
	// fact that ended it to the last process gone, 0 for a build that nobody ended.
	BuildEnded(reason api.Reason, mode api.Mode, lived, cancel time.Duration)
	RungUsed(used api.UsedRung)
	// Freed: a FUSE connection that survivors waited for was aborted.
	Freed()
	// Stuck: processes of a build have outlived SIGKILL, so many by what they wait for.
	Stuck(survivors map[api.WaitKind]int)
	// Unstuck: a stuck build is gone, after so long.
	Unstuck(after time.Duration)
	BuildStalled()
	// Short: the kernel did not give a build what it wanted.
	Short(of api.Resource)
}

// Watcher is the registry of builds. It is safe for concurrent use.
type Watcher struct {
	host     processes.Host
	owners   *owners.Finder
	examiner processes.Examiner
	storage  Storage
	timeouts Timeouts
	policy   Policy
	since    time.Time // when it was made, and its policy came into force
	metrics  Metrics
	history  History
	events   hub
	log      logrus.FieldLogger
	buildLog func(id string, uid uint32) *logrus.Entry
	inStep   func(context.Context, *owners.Owner) bool // the Finder's

	life    context.Context
	end     context.CancelFunc
	running sync.WaitGroup // every goroutine of this package

	begun     chan struct{} // holds a token after a build has begun, see WatchStalled
	measuring chan struct{} // holds a token when a look is due, see measureBuilds
	reading   chan struct{} // holds a token unless very many builds are being read
	asked     atomic.Int64  // when the builds were last listed, after since

	// Locks are taken in the order of their numbers, each of which stands where the lock is
	// declared, and none is taken with one of the same number. With the registry's, which
	// is the last, nothing is called at all. "make lint" tries both: see test/lockorder.
	mu sync.Mutex // lock order: 9, alone
	// +checklocks:mu
	byID map[string]*build
	// +checklocks:mu
	byOwner map[owners.Key]*build
}

// Parts are what a watcher works with.
type Parts struct {
	Host     processes.Host
	Owners   *owners.Finder
	Examiner processes.Examiner
	Storage  Storage
	Metrics  Metrics
	History  History
	Log      logrus.FieldLogger
	BuildLog func(id string, uid uint32) *logrus.Entry // for entries on one build
}

// New returns a watcher that holds no build yet.
func New(parts Parts, timeouts Timeouts, policy Policy) *Watcher {
	life, end := context.WithCancel(context.Background())
	w := &Watcher{
		host: parts.Host, owners: parts.Owners, examiner: parts.Examiner, storage: parts.Storage,
		timeouts: timeouts, metrics: parts.Metrics, history: parts.History, log: parts.Log, buildLog: parts.BuildLog,
		policy: policy, since: time.Now(), events: hub{alive: api.AliveInterval},
		life: life, end: end, begun: make(chan struct{}, 1), measuring: make(chan struct{}, 1), reading: make(chan struct{}, 1),
		byID: map[string]*build{}, byOwner: map[owners.Key]*build{},
	}
	w.reading <- struct{}{}
	w.inStep = w.owners.InStep
	w.asked.Store(-int64(attention))
	w.running.Go(w.measureBuilds)
	return w
}

// Close stops watching. Builds and their scopes live on, for the next daemon.
func (w *Watcher) Close() {
	w.end()
	w.running.Wait()
}

// ErrTooMany is returned for a user who has too many builds already.
var ErrTooMany = errors.New("too many builds")

// buildOf returns the build of the owner, a new one if need be. It takes the
// owner over.
func (w *Watcher) buildOf(o *owners.Owner, uid uint32) (*build, error) {
	if b := w.ownedBy(o.Key()); b != nil {
		o.Close()
		return b, nil
	}
	release, ok := w.owners.Place(o, uid)
	if there := w.ownedBy(o.Key()); !ok && there != nil {
		o.Close()
		return there, nil // it has had the last place
	}
	if !ok {
		o.Close()
		return nil, fmt.Errorf("%w of UID %d, or of all users", ErrTooMany, uid)
	}
	r := owners.NewRecord(w.freeID(), o, uid)
	b := w.makeBuild(r, o, processes.Set{}, release)
	if there := w.addNew(b); there != b {
		b.drop() // somebody else was quicker
		return there, nil
	}
	b.begin()
	return b, nil
}

// ownedBy returns the build of an owner, or nil.
func (w *Watcher) ownedBy(key owners.Key) *build {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byOwner[key]
}

// addNew adds a build to the list, unless its owner has one already. It returns the
// owner's build.
func (w *Watcher) addNew(b *build) *build {
	key := b.record.Key()
	w.mu.Lock()
	defer w.mu.Unlock()
	if there := w.byOwner[key]; there != nil {
		return there
	}
	w.byID[b.id], w.byOwner[key] = b, b
	return b
}

// add adds a build to the list in any case, and as its owner's if owned.
func (w *Watcher) add(b *build, owned bool) {
	key := b.record.Key()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byID[b.id] = b
	if owned {
		w.byOwner[key] = b
	}
}

// freeID returns an ID that no build has.
func (w *Watcher) freeID() string {
	for {
		if id := owners.NewID(); w.called(id) == nil {
			return id
		}
	}
}

// forget removes a build from the list.
func (w *Watcher) forget(b *build) {
	defer b.release()
	key := b.record.Key()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byID, b.id)
	if w.byOwner[key] == b {
		delete(w.byOwner, key)
	}
}

// changed tells of a build's new state.
func (w *Watcher) changed(b *build, before, after lifecycle.Status) {
	log := b.log.WithFields(logrus.Fields{"state": string(after.State), "reason": string(after.Reason)})
	if unit := b.processes().Unit(); unit != "" {
		log = log.WithField("unit", unit)
	}
	switch after.State {
	case api.StateUnsure:
		log.Infof("Build %s is kept, though its API request may have ended: that can't be told for certain", b.id)
	case api.StateStalled:
		b.logStalled(log)
		w.metrics.BuildStalled()
	case api.StateRunning:
		if before.State == api.StateStalled {
			log.Infof("Build %s goes on: it is not stalled any more", b.id)
		}
	case api.StateAbandoned:
		if after.Reported() {
			w.metrics.AbandonedReported(after.Reason)
			log.Warnf("Build %s would be ended (%s), and is left alone by [policy] abandoned = \"report\": %s", b.id, after.Reason, b.describeProcesses())
			return
		}
		if after.Refusing() {
			log.Infof("Build %s is to end (%s): %s", b.id, after.Reason, api.ActionRefuseSteps.Meaning())
			return
		}
		log.Infof("Build %s is over (%s): ending its containers", b.id, after.Reason)
	case api.StateStuck:
		b.logStuck(log)
		b.settle()
	case api.StateGone:
		switch {
		case before.Reported():
			log.Infof("Build %s, which was over (%s) and left alone, has ended by itself", b.id, after.Reason)
		case before.State == api.StateStuck:
			after := time.Since(b.stuckSince())
			w.metrics.Unstuck(after)
			log.WithField("stuck_seconds", after.Seconds()).Infof("Build %s is gone: the kernel let go of the last process, %s after SIGKILL", b.id, after.Round(time.Millisecond))
		} // that it is gone, History is told
	default:
		log.Debugf("Build %s: %s", b.id, after.State)
	}
}

// gone ends the watch over a build of which nothing is left.
func (w *Watcher) gone(b *build) {
	w.forget(b)
	defer func() { w.storage.BuildOver(b.id, b.current().Reason == api.ReasonCompleted) }()
	b.mu.Lock()
	held, reason, stopped := b.held, b.status.Reason, b.status.UnitStopped
	cancel := b.tookToEnd()
	startedIn := ""
	if b.ofSystem {
		startedIn = b.ownerUnit
	}
	b.mu.Unlock()
	if e, ok := b.ended(); ok {
		w.history.Gone(e, startedIn) // first: who waits for the end may look for it there
	}
	b.settle()
	if held.None() {
		return
	}
	if held.Unplaced != nil {
		w.running.Go(func() {
			if err := held.Unplaced.RemoveCgroups(w.life); err != nil {
				b.log.WithError(err).Debugf("Build %s: an empty cgroup of its containers stays", b.id)
			}
		})
	}
	w.metrics.BuildEnded(reason, b.record.Mode, time.Since(b.record.Created()), cancel)
	if !stopped {
		// Empty is not enough: systemd can miss the end of a process that lived
		// only for milliseconds, and keep the scope for ever.
		held.Discard(w.life)
	}
}
