package watch

import (
	"context"
	"errors"
	"os/user"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/request"
)

// build is one build. A goroutine of its own (run) applies what happens to it,
// in order; everything else only sends it events and reads snapshots.
type build struct {
	watcher *Watcher
	id      string
	owner   *owner // may be nil for one that was found after its owner had ended
	record  record
	user    api.User
	log     *logrus.Entry

	events  chan message
	settled chan struct{}      // closed when the build is gone, or stuck for the first time
	stop    context.CancelFunc // ends the goroutines of this build
	life    context.Context

	placing chan struct{} // holds a token; who has it may change scope

	mu         sync.Mutex
	scope      Scope     // nil until the first container is placed
	seen       *observed // nil unless a step did not come through the wrapper
	command    string    // see api.Owner
	status     status
	stateSince time.Time // when it came to its state
	known      map[api.FactName]knowledge
	cause      api.FactName  // the fact that ended it
	tidyTime   time.Duration // how long the owner may tidy up
	overSince  time.Time     // when the fact that ended it was known
	emptyAt    time.Time     // when its last process was seen gone
	ladder     []api.LadderStep
	remains    remains
	storage    storage

	inspecting sync.Mutex // one look at survivors at a time
	stalled    stalledBuild
}

// message is an event on its way; of is the stage that it is the outcome of.
type message struct {
	event event
	of    stage
	err   error
}

func (w *Watcher) newBuild(r record, o *owner, s Scope) *build {
	b := w.makeBuild(r, o, s)
	b.begin()
	return b
}

// makeBuild is newBuild for a build to which nothing is to happen yet.
func (w *Watcher) makeBuild(r record, o *owner, s Scope) *build {
	if now := monotonic().Microseconds(); r.StartedUSec == 0 || r.StartedUSec > now {
		r.StartedUSec = now
	}
	life, stop := context.WithCancel(w.life)
	b := &build{
		watcher: w, id: r.ID, owner: o, record: r, scope: s,
		user:    api.User{UID: r.UID},
		log:     w.log.WithField("id", r.ID),
		events:  make(chan message, 8),
		settled: make(chan struct{}),
		life:    life,
		stop:    stop,
		placing: make(chan struct{}, 1),
		command: r.Command,
		status: status{
			state: api.StateRunning, ownerLives: o != nil, ownerSpared: o != nil && o.spared, clientInside: r.Mode == api.ModeRun,
			reportOnly: w.policy.Report,
		},
		stateSince: time.Now(),
		known:      map[api.FactName]knowledge{},
		tidyTime:   w.timeouts.Owner,
	}
	b.learnOwner()
	b.placing <- struct{}{}
	if u, err := user.LookupId(strconv.FormatUint(uint64(r.UID), 10)); err == nil {
		b.user.Name = u.Username
	}
	return b
}

// begin starts what applies events to the build, and what waits for them.
func (b *build) begin() {
	b.watcher.wakeStallWatch()
	b.watcher.running.Go(b.run)
	if b.status.state == api.StateUnsure {
		b.watcher.running.Go(b.waitForOrphans)
		if b.owner == nil {
			return
		}
	}
	b.watcher.running.Go(b.waitForOwner)
	if b.owner != nil {
		if b.owner.request != nil {
			b.watcher.running.Go(b.waitForRequest)
		}
		for _, client := range b.owner.clients {
			b.watcher.running.Go(func() { b.waitForClient(client) })
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
			if b.apply(m); b.current().state == api.StateGone {
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
	defer b.mu.Unlock()
	if held := b.hold(); held != nil {
		held.Close()
	}
	b.storage.close()
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
	}
	b.send(message{event: ownerExitedIdle})
}

func (b *build) waitForClient(client *proc.Handle) {
	defer client.Close()
	// A client that has waited for the builder to its end is no news.
	if err := client.Wait(b.life); err == nil && b.owner.Alive() {
		b.send(message{event: clientExited})
	}
}

// waitForRequest watches the API request that the build belongs to.
func (b *build) waitForRequest() {
	err := b.watcher.requests.Wait(b.life, *b.owner.request, func(now request.Sight) {
		b.learnRequest(now)
		switch now.Standing {
		case request.Live:
			b.send(message{event: requestCertain})
		case request.Doubtful:
			b.send(message{event: requestDoubted})
		case request.Left:
			b.send(message{event: requestLeft})
		}
	})
	if err == nil {
		b.send(message{event: requestEndedIdle})
	}
}

func (b *build) current() status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// apply runs the state machine for one message, and does what it asks for.
func (b *build) apply(m message) {
	b.mu.Lock()
	if m.of != "" && m.of != b.status.stage {
		b.mu.Unlock()
		return // the outcome of a stage that is over
	}
	// Looked at under the lock that placing a container takes: one that was moved in
	// before is seen here, one that comes after finds the build over.
	m.event = m.event.ifBusy(b.busy)
	before := b.status
	after, act := next(before, m.event)
	b.status = after
	ended := b.note(before, after, m)
	b.mu.Unlock()

	if ended {
		b.rungEnded(before.stage, after.empty)
	}
	b.tellState(before, after)
	if isNews(before, after) {
		b.watcher.changed(b, before, after)
	}
	switch act {
	case actReport:
		b.watcher.running.Go(b.waitWhileReported)
	case actBegin:
		b.watcher.running.Go(b.waitForEmpty)
		b.apply(message{event: begin})
	case actEnter:
		b.enter(after.stage)
	case actForget:
		b.watcher.gone(b)
	}
}

// busy tells whether containers are left. In doubt they are: the owner is gone,
// and so is the last who could want them.
func (b *build) busy() bool {
	held := b.hold()
	if held == nil {
		return false
	}
	busy, err := held.Busy()
	return busy || err != nil
}

// note keeps the times and the ladder's history, and says whether a rung has
// ended. It is called with the lock.
func (b *build) note(before, after status, m message) (ended bool) {
	now := time.Now()
	b.learnEvent(m.event)
	if before.open() && !after.open() || before.state.Wanted() && !after.state.Wanted() {
		b.overSince, b.cause = now, causeOf(m.event)
	}
	if m.event == emptied || after.state == api.StateGone && b.emptyAt.IsZero() {
		b.emptyAt = now
	}
	if after.state == api.StateStuck && before.state != api.StateStuck {
		b.remains.stuck = now
	}
	if old := before.stage.rung(); old != "" && old != after.stage.rung() {
		step := &b.ladder[len(b.ladder)-1]
		step.Duration = now.Sub(step.StartedAt)
		step.TimedOut = m.event == timeOver
		if m.event == callFailed {
			step.Error = m.err.Error()
		}
		ended = true
	}
	if isNews(before, after) {
		b.stateSince = now
	}
	if rung := after.stage.rung(); rung != "" && rung != before.stage.rung() {
		b.ladder = append(b.ladder, api.LadderStep{Step: rung, StartedAt: now})
	}
	return ended
}

// isNews tells whether who watches is to hear of the step from one status to the other.
func isNews(before, after status) bool {
	return after.state != before.state || (before.stage == stageReported) != (after.stage == stageReported)
}

// tellState tells who watches of a new state.
func (b *build) tellState(before, after status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !isNews(before, after):
	case after.state == api.StateGone:
		b.tell(api.Event{Kind: api.EventGone, Was: before.state, Took: b.tookToEnd()})
	default:
		b.tell(api.Event{Kind: api.EventState, Was: before.state})
	}
}

// rungEnded counts what a rung has left, and tells of it. The processes are looked
// at without the lock: placing and listing do not wait for that.
func (b *build) rungEnded(stage stage, empty bool) {
	left := 0
	if held := b.held(); held != nil && !empty {
		left = len(held.Members())
	}
	b.mu.Lock()
	var ended api.LadderStep
	for i := range b.ladder { // the last of its kind: the next rung may be there already
		if b.ladder[i].Step == stage.rung() {
			b.ladder[i].Survivors = left
			ended = b.ladder[i]
		}
	}
	b.tell(api.Event{Kind: api.EventStep, Step: &ended})
	b.mu.Unlock()
	b.watcher.observer.LadderStep(ended)
	b.logStep(ended)
}

// tookToEnd is the time from the fact that ended the build to its last process
// gone; 0 for one that nobody has ended. It is called with the lock.
func (b *build) tookToEnd() time.Duration {
	if len(b.ladder) == 0 {
		return 0
	}
	return b.emptyAt.Sub(b.overSince)
}

// logStep tells of a rung that is over: that it was used is news for who looks
// closely, that it did not do is news for everybody.
func (b *build) logStep(step api.LadderStep) {
	log := b.log.WithFields(logrus.Fields{"step": string(step.Step), "duration": step.Duration.String(), "survivors": step.Survivors})
	switch {
	case step.Error != "":
		log.Warnf("Build %s: step %q of the ladder failed: %s", b.id, step.Step, step.Error)
	case step.TimedOut && step.Survivors == 0: // the owner lives, or systemd did not say that the unit is stopped
		log.Warnf("Build %s: step %q of the ladder was not done when its time was over", b.id, step.Step)
	case step.TimedOut:
		log.Warnf("Build %s: step %q of the ladder left %d processes when its time was over", b.id, step.Step, step.Survivors)
	default:
		log.Debugf("Build %s: step %q of the ladder took %s", b.id, step.Step, step.Duration)
	}
}

func (b *build) waitForEmpty() {
	var err error
	if held := b.held(); held != nil { // else it was over before it had its first one
		err = held.WaitEmpty(b.life)
	}
	if err == nil {
		b.send(message{event: emptied})
	} else if b.life.Err() == nil {
		b.log.WithError(err).Error("Cannot watch the build's cgroup")
	}
}

// enter does what a stage of the ladder does, and sends what came of it.
func (b *build) enter(s stage) {
	if s == stageSurvivors {
		b.watcher.running.Go(b.watchSurvivors)
	}
	limit := b.limit(s)
	if limit == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(b.life, limit)
	context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			b.send(message{event: timeOver, of: s})
		}
	})
	outcome := func(err error) {
		switch {
		case err == nil:
			b.send(message{event: callSucceeded, of: s})
		case ctx.Err() == nil: // else timeOver says it
			b.send(message{event: callFailed, of: s, err: err})
		}
	}
	// The ladder must not wait for a call: each is made aside. cancel comes with
	// the build's end, since the stage's time runs on after a call that succeeded.
	context.AfterFunc(b.life, cancel)
	b.watcher.running.Go(func() {
		held := b.held()
		if s == stageContainers || s == stageKill {
			b.findHelpers(ctx)
		}
		if s == stageStop || s == stageCgroupKill {
			b.watcher.running.Go(func() { b.inspect(ctx, Inspection.Look) })
		}
		switch {
		case s == stageContainers:
			outcome(b.killSteps(ctx))
		case s == stageTerm:
			b.signalOwner(unix.SIGTERM)
		case s == stageKillOwner:
			b.signalOwner(unix.SIGKILL)
		case s == stageTidy:
		case held == nil:
			outcome(nil)
		case s == stageLetStart:
			outcome(b.letStart(ctx))
		case s == stageKill:
			outcome(held.Kill(ctx))
		case s == stageStop:
			outcome(held.Stop(ctx))
		case s == stageCgroupKill:
			outcome(held.CgroupKill(ctx))
		case s == stageFree:
			b.free(ctx)
		case s == stageHelpers:
			outcome(b.endHelpers(ctx))
		}
	})
}

// startTime is how long a living owner may take to start containers that are being
// made, before they are killed; startPause, how often that is looked at.
const startTime, startPause = 400 * time.Millisecond, 5 * time.Millisecond

// letStart waits until the containers that are being made have been started.
// `crun start` waits for ever where the container ends between its look at it and
// the open(2) of its FIFO; podman waits with it, and tidies up nothing.
//
// Source: containers/crun, src/libcrun/status.c, libcrun_status_write_exec_fifo.
func (b *build) letStart(ctx context.Context) error {
	for held := b.held(); held.Starting(); {
		select {
		case <-time.After(startPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b *build) signalOwner(signal unix.Signal) {
	if err := b.owner.Signal(signal); err != nil && !errors.Is(err, proc.ErrGone) {
		b.log.WithError(err).Errorf("Cannot send %s to the build's owner", unix.SignalName(signal))
	}
	if signal == unix.SIGTERM && b.record.Mode == api.ModeRun {
		b.tellClient(signal)
	}
}

// limit is how long a stage may take; 0 for one without an end.
func (b *build) limit(s stage) time.Duration {
	t := b.watcher.timeouts
	switch s {
	case stageLetStart:
		return startTime
	case stageContainers, stageKill:
		return t.Kill
	case stageTidy:
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.tidyTime
	case stageTerm, stageKillOwner:
		return t.OwnerTerm
	case stageStop:
		return t.Stop
	case stageCgroupKill:
		return t.CgroupKill
	case stageFree:
		return t.Survivors
	case stageHelpers:
		// It has SIGTERM's time, and some for the look at who uses what it serves.
		return t.Helpers + helpersLook
	}
	return 0
}

// history returns a copy of the rungs used so far.
func (b *build) history() []api.LadderStep {
	b.mu.Lock()
	defer b.mu.Unlock()
	steps := slices.Clone(b.ladder)
	if n := len(steps); n > 0 && b.status.stage.rung() != "" {
		steps[n-1].Duration = time.Since(steps[n-1].StartedAt)
	}
	return steps
}
