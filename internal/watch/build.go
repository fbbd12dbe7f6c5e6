package watch

import (
	"context"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// build is one build. A goroutine of its own (run) applies what happens to it,
// in order; everything else only sends it events and reads snapshots.
type build struct {
	watcher *Watcher
	id      string
	owner   *owners.Owner // may be nil for one that was found after its owner had ended
	record  owners.Record
	user    api.User
	log     *logrus.Entry

	events chan message
	stop   context.CancelFunc // ends the goroutines of this build
	life   context.Context

	placing chan struct{} // holds a token; who has it may change scope
	release func()        // gives the build's place back

	spent      spent
	read       *sight[reading]           // for who asks for builds
	inspecting chan *processes.Survivors // holds them: one look is made at a time
	hang       Hang                      // the stall watch's; nil before its first look

	unmeasured atomic.Bool // a step has begun since the last look

	shown atomic.Pointer[shown] // what is known of it to who does not wait for the lock

	mu sync.Mutex // lock order: 2
	// +checklocks:mu
	state
}

// state is what changes of a build.
type state struct {
	settled    chan struct{} // closed when the build has come to rest: gone, stuck, or refusing for a while
	held       processes.Set
	command    string // see api.Owner
	ownerUnit  string // likewise
	ofSystem   bool   // that unit is one of the system's manager
	status     lifecycle.Status
	entry      int       // counts the stages that were entered: one may be entered twice
	stateSince time.Time // when it came to its state
	known      map[api.FactName]api.Fact
	doubt      api.Doubt     // why it can't be told whether its API request is over
	cause      api.FactName  // the fact that ended it
	tidyTime   time.Duration // how long the owner may tidy up
	overSince  time.Time     // when the fact that ended it was known
	emptyAt    time.Time     // when its last process was seen gone
	ladder     []api.UsedRung
	remains    remains
	helpers    *processes.Helpers            // who serve its storage; nil before they are looked for
	askedBy    *uint32                       // who asked for its end
	short      map[processes.Resource]uint64 // how often what was short, as far as that is told
	stalled    stalledBuild
	guests     map[owners.Key]*guest // of a run: its builders
}

// message is an event on its way.
type message struct {
	event lifecycle.Event
	of    int // the entry into a stage that it is the outcome of; 0 for what is none's
	err   error
}

// makeBuild makes a build to which nothing happens before it begins.
func (w *Watcher) makeBuild(r owners.Record, o *owners.Owner, held processes.Set, release func()) *build {
	if now := monotonic().Microseconds(); r.StartedUSec == 0 || r.StartedUSec > now {
		r.StartedUSec = now
	}
	life, stop := context.WithCancel(w.life)
	b := &build{
		watcher: w, id: r.ID, owner: o, record: r, user: userOf(r.UID), log: w.buildLog(r.ID, r.UID),
		events: make(chan message, 8), life: life, stop: stop, release: release,
		placing: make(chan struct{}, 1), inspecting: make(chan *processes.Survivors, 1),
		read: newSight[reading](),
		state: state{
			held: held, settled: make(chan struct{}), command: r.Command, stateSince: time.Now(), known: map[api.FactName]api.Fact{},
			short: map[processes.Resource]uint64{}, guests: map[owners.Key]*guest{},
			status: lifecycle.Status{
				State: api.StateRunning, OwnerLives: o != nil, OwnerSpared: o != nil && o.Spared, CommandInside: r.Mode == api.ModeRun,
				ReportOnly: w.policy.Report,
			},
			tidyTime: w.timeouts.Owner,
		},
	}
	b.placing <- struct{}{}
	b.inspecting <- processes.NewSurvivors(w.examiner, r.UID)
	unit, ofSystem := "", false
	if o != nil {
		unit, ofSystem = o.StartedIn()
	}
	b.mu.Lock()
	defer b.unlock()
	b.ownerUnit, b.ofSystem = unit, ofSystem
	b.learnOwner()
	return b
}

func userOf(uid uint32) api.User {
	u := api.User{UID: uid}
	if known, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		u.Name = known.Username
	}
	return u
}

// drop ends a build that has not begun, and lets go of its owner.
func (b *build) drop() {
	b.stop()
	b.owner.Close()
	b.release()
}

// begin starts what applies events to the build, and what waits for them.
func (b *build) begin() {
	b.watcher.wakeStallWatch()
	b.watcher.running.Go(b.run)
	if b.current().State == api.StateUnsure {
		b.watcher.running.Go(b.waitForOrphans)
		if b.owner == nil {
			return
		}
	}
	b.watcher.running.Go(b.waitForOwner)
	if b.owner != nil {
		if b.owner.Request != nil {
			b.watcher.running.Go(b.waitForRequest)
		}
		for i := range b.owner.Waiters {
			b.watcher.running.Go(func() { b.watchWaiter(i) })
		}
	}
	b.keepTime()
}

// run applies events until the build is gone or the daemon stops.
func (b *build) run() {
	defer b.close()
	for {
		select {
		case m := <-b.events:
			if b.apply(m); b.current().State == api.StateGone {
				return
			}
		case <-b.life.Done():
			return
		}
	}
}

func (b *build) close() {
	b.stop()
	b.mu.Lock()
	held, helpers := b.held, b.helpers
	b.mu.Unlock()
	held.Close()
	helpers.Close()
}

func (b *build) send(m message) {
	select {
	case b.events <- m:
	case <-b.life.Done():
	}
}

func (b *build) waitForOwner() {
	if b.owner != nil {
		defer b.owner.Handle.Close()
		if err := b.owner.Wait(b.life); err != nil {
			return // the daemon stops
		}
		b.measure()
		b.lookForShortages()
	}
	b.send(message{event: lifecycle.OwnerExited})
}

func (b *build) watchWaiter(i int) {
	waiter := b.owner.Waiters[i]
	defer waiter.Close()
	// One that has waited for the builder to its end is no news.
	if err := waiter.Wait(b.life); err == nil && b.owner.Alive() {
		b.send(message{event: lifecycle.WaiterExited})
	}
}

// waitForRequest watches the API request that the build belongs to.
func (b *build) waitForRequest() {
	err := b.watcher.owners.FollowRequest(b.life, b.owner, func(now owners.News) {
		b.learnRequest(now)
		if now.Event != "" {
			b.send(message{event: now.Event})
		}
	})
	if err == nil {
		b.lookForShortages()
		b.send(message{event: lifecycle.RequestEnded})
	}
}

// shown is what was known of a build when its lock was let go of last. It does not change.
type shown struct {
	head   api.BuildHead
	status lifecycle.Status
	held   processes.Set
}

// show makes what has changed known to those who do not wait for the lock. It is called
// with it.
//
// +checklocks:b.mu
func (b *build) show() { b.shown.Store(&shown{b.head(), b.status, b.held}) }

// unlock lets go of the lock when something was changed.
//
// +checklocksrelease:b.mu
func (b *build) unlock() {
	b.show()
	b.mu.Unlock()
}

// current is what the build is now. It waits for no lock: one that hangs in the kernel
// while it is placed holds back nobody but itself.
func (b *build) current() lifecycle.Status { return b.shown.Load().status }

// apply runs the state machine for one message, and does what it asks for.
func (b *build) apply(m message) {
	if m.event.AsksBusy() {
		b.processes().Look()
	}
	b.mu.Lock()
	if m.of != 0 && m.of != b.entry {
		b.mu.Unlock()
		return // the outcome of a stage that is over
	}
	// Looked at under the lock that placing a container takes: one that was moved in
	// before is seen here, one that comes after finds the build over.
	busy := m.event.AsksBusy() && b.busy()
	before := b.status
	after, act := lifecycle.Next(before, m.event, busy)
	b.status = after
	if act == lifecycle.ActEnter || act == lifecycle.ActReport {
		b.entry++
	}
	entry, own := b.entry, b.held.Scope
	ended := b.note(before, after, m, busy)
	b.unlock()

	if ended {
		b.rungEnded(before.Stage, after.Empty)
	}
	b.tellState(before, after)
	if isNews(before, after) {
		b.watcher.changed(b, before, after)
	}
	if after.Refusing() && !before.Refusing() {
		b.beginRefusing(own, after.Reason)
	}
	switch act {
	case lifecycle.ActRest:
		b.settle()
	case lifecycle.ActReport:
		b.watcher.running.Go(func() { b.waitWhileReported(entry) })
	case lifecycle.ActBegin:
		b.countProcesses()
		b.watcher.running.Go(b.waitForEmpty)
		b.apply(message{event: lifecycle.Begin})
	case lifecycle.ActEnter:
		b.enter(after.Stage, entry)
	case lifecycle.ActForget:
		b.watcher.gone(b)
	}
}

// processes is what the build is held by now.
func (b *build) processes() processes.Set { return b.shown.Load().held }

// busy reports whether containers are left. On an error it reports true: the owner is
// gone, and nobody is left who could want them.
//
// +checklocks:b.mu
func (b *build) busy() bool {
	busy, err := b.held.BusyAsSeen()
	return busy || err != nil
}

// note keeps the times and the ladder's history, and says whether a rung has
// ended. It is called with the lock.
//
// +checklocks:b.mu
func (b *build) note(before, after lifecycle.Status, m message, busy bool) (ended bool) {
	now := time.Now()
	b.learnEvent(m.event, busy)
	if before.Open() && !after.Open() || before.State.Wanted() && !after.State.Wanted() {
		b.overSince, b.cause = now, causes[m.event]
	}
	if m.event == lifecycle.Emptied || after.State == api.StateGone && b.emptyAt.IsZero() {
		b.emptyAt = now
	}
	if after.State == api.StateStuck && before.State != api.StateStuck {
		b.remains.stuck = now
	}
	if old := before.Stage.RungName(); old != "" && old != after.Stage.RungName() {
		rung := &b.ladder[len(b.ladder)-1]
		rung.Duration = api.Seconds(now.Sub(rung.StartedAt))
		rung.TimedOut = m.event == lifecycle.TimeOver
		if m.event == lifecycle.CallFailed {
			rung.Error = m.err.Error()
		}
		ended = true
	}
	if isNews(before, after) {
		b.stateSince = now
	}
	if rung := after.Stage.RungName(); rung != "" && rung != before.Stage.RungName() {
		b.ladder = append(b.ladder, api.UsedRung{Rung: rung, StartedAt: now})
	}
	return ended
}

// isNews reports whether the change is worth an event.
func isNews(before, after lifecycle.Status) bool {
	return after.State != before.State || (before.Stage == lifecycle.StageReported) != (after.Reported())
}

// tellState tells who watches of a new state.
func (b *build) tellState(before, after lifecycle.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !isNews(before, after):
	case after.State == api.StateGone:
		b.tell(api.Event{Kind: api.EventGone, Was: before.State, Took: api.Seconds(b.tookInAll())})
	default:
		b.tell(api.Event{Kind: api.EventState, Was: before.State})
	}
}

// rungEnded counts what a rung has left, and tells of it. The processes are looked
// at without the lock: placing and listing do not wait for that.
func (b *build) rungEnded(stage lifecycle.Stage, empty bool) {
	left := 0
	if !empty {
		left = len(b.processes().Members())
	}
	b.mu.Lock()
	var ended api.UsedRung
	for i := range b.ladder { // the last of its kind: the next rung may be there already
		if b.ladder[i].Rung == stage.RungName() {
			b.ladder[i].Survivors = left
			ended = b.ladder[i]
		}
	}
	b.tell(api.Event{Kind: api.EventRung, Rung: &ended})
	b.mu.Unlock()
	b.watcher.metrics.RungUsed(ended)
	b.logRung(ended)
}

// tookToEnd is the time from the fact that ended the build to its last process
// gone; 0 for one that nobody has ended. It is called with the lock.
//
// +checklocks:b.mu
func (b *build) tookToEnd() time.Duration {
	if len(b.ladder) == 0 {
		return 0
	}
	return b.emptyAt.Sub(b.overSince)
}

// tookInAll is the time from that fact to now, when the build is gone: its owner may
// have had its time to tidy up after the last process of its containers. It is called
// with the lock.
//
// +checklocks:b.mu
func (b *build) tookInAll() time.Duration {
	if len(b.ladder) == 0 {
		return 0
	}
	return time.Since(b.overSince)
}

// logRung logs a rung that is over: at debug if it worked, as a warning if it failed
// or left processes.
func (b *build) logRung(used api.UsedRung) {
	log := b.log.WithFields(logrus.Fields{"rung": string(used.Rung), "duration_seconds": time.Duration(used.Duration).Seconds(), "survivors": used.Survivors})
	switch {
	case used.Error != "":
		log.Warnf("Build %s: rung %q failed: %s", b.id, used.Rung, used.Error)
	case used.TimedOut && used.Survivors == 0: // the owner lives, or systemd did not say that the unit is stopped
		log.Warnf("Build %s: rung %q was not done when its time was over", b.id, used.Rung)
	case used.TimedOut:
		log.Warnf("Build %s: rung %q left %d processes when its time was over", b.id, used.Rung, used.Survivors)
	default:
		log.Debugf("Build %s: rung %q took %s", b.id, used.Rung, used.Duration)
	}
}

func (b *build) waitForEmpty() {
	err := b.processes().WaitEmpty(b.life)
	if err == nil {
		b.send(message{event: lifecycle.Emptied})
	} else if b.life.Err() == nil {
		b.log.WithError(err).Error("Cannot watch the build's cgroup")
	}
}

// history returns a copy of the rungs used so far.
func (b *build) history() []api.UsedRung {
	b.mu.Lock()
	defer b.mu.Unlock()
	rungs := slices.Clone(b.ladder)
	if n := len(rungs); n > 0 && b.status.Stage.RungName() != "" {
		rungs[n-1].Duration = api.Seconds(time.Since(rungs[n-1].StartedAt))
	}
	return rungs
}
