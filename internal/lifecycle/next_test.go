package lifecycle

import (
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

var (
	running      = Status{State: api.StateRunning, OwnerLives: true}
	stalled      = Status{State: api.StateStalled, OwnerLives: true}
	unsure       = Status{State: api.StateUnsure, OwnerLives: true}
	abandoned    = Status{State: api.StateAbandoned, Reason: api.ReasonOwnerExited}
	orphans      = Status{State: api.StateUnsure}
	stopped      = Status{State: api.StateAbandoned, Reason: api.ReasonStopped, OwnerLives: true}
	letting      = at(stopped, api.StateAbandoned, StageLetStart)
	killing      = at(abandoned, api.StateTerminating, StageKill)
	killingLive  = at(stopped, api.StateTerminating, StageKill)
	stopping     = at(abandoned, api.StateKilling, StageStop)
	stoppingLive = at(stopped, api.StateKilling, StageStop)
	lastRung     = at(abandoned, api.StateKilling, StageCgroupKill)
	lastRungLive = at(stopped, api.StateKilling, StageCgroupKill)
	freeing      = with(at(abandoned, api.StateKilling, StageFree), isFreed)
	freeingLive  = with(at(stopped, api.StateKilling, StageFree), isFreed)
	stuck        = with(at(abandoned, api.StateStuck, StageSurvivors), isFreed)
	careful      = with(running, isReportOnly)
	reported     = at(with(abandoned, isReportOnly), api.StateAbandoned, StageReported)
	reportedLive = with(reported, lives)
	refusing     = at(stopped, api.StateAbandoned, StageRefuse)
	refusedLater = at(stopped, api.StateTerminating, StageRefuse)
)

func at(s Status, state api.State, stage Stage) Status {
	s.State, s.Stage = state, stage
	return s
}

func with(s Status, change func(*Status)) Status {
	change(&s)
	return s
}

func isEmpty(s *Status)      { s.Empty = true }
func isTried(s *Status)      { s.OwnerTried = true }
func isSpared(s *Status)     { s.OwnerSpared = true }
func isInside(s *Status)     { s.CommandInside = true }
func isSwept(s *Status)      { s.Swept = true }
func isReportOnly(s *Status) { s.ReportOnly = true }
func lives(s *Status)        { s.OwnerLives = true }
func isFreed(s *Status)      { s.Freed = true }
func isHelped(s *Status)     { s.Helpers = true }
func isDeserted(s *Status)   { s.Deserted = true }

// happening is an event, and whether containers were left then.
type happening struct {
	Event
	busy bool
}

func (e happening) to(s Status) (Status, Action) { return Next(s, e.Event, e.busy) }

// The events by what they mean. Where that hangs on busy, both are there.
var (
	ownerExitedIdle      = happening{OwnerExited, false}
	ownerExitedBusy      = happening{OwnerExited, true}
	requestEndedIdle     = happening{RequestEnded, false}
	requestEndedBusy     = happening{RequestEnded, true}
	requestLeftIdle      = happening{RequestLeft, false}
	requestLeftBusy      = happening{RequestLeft, true}
	waiterExited         = happening{WaiterExited, true}
	requestDoubted       = happening{RequestDoubted, true}
	requestCertain       = happening{RequestCertain, true}
	deadlinePassed       = happening{DeadlinePassed, true}
	maxRuntimePassed     = happening{MaxRuntimePassed, true}
	stalledSeen          = happening{StalledSeen, true}
	stalledOver          = happening{StalledOver, true}
	stalledTooLong       = happening{StalledTooLong, true}
	stopRequested        = happening{StopRequested, true}
	stopRequestedIdle    = happening{StopRequested, false}
	maxRuntimePassedIdle = happening{MaxRuntimePassed, false}
	stalledTooLongIdle   = happening{StalledTooLong, false}
	deadlinePassedIdle   = happening{DeadlinePassed, false}
	ownerGoesOn          = happening{OwnerGoesOn, false}
	stepRefused          = happening{StepRefused, false}
	helpersFound         = happening{HelpersFound, true}
	memoryShort          = happening{MemoryShort, true}
	tasksShort           = happening{TasksShort, true}
	begin                = happening{Begin, true}
	emptied              = happening{Emptied, true}
	callSucceeded        = happening{CallSucceeded, true}
	callFailed           = happening{CallFailed, true}
	timeOver             = happening{TimeOver, true}
)

// TestNext is the table of the state machine, row by row.
func TestNext(t *testing.T) {
	for _, row := range []struct {
		name   string
		from   Status
		event  happening
		state  api.State
		stage  Stage
		action Action
	}{
		{"a build that ends by itself", running, ownerExitedIdle, api.StateGone, StageDone, ActForget},
		{"an owner that leaves containers", running, ownerExitedBusy, api.StateAbandoned, StageNone, ActBegin},
		{"an owner nobody waits for", running, waiterExited, api.StateAbandoned, StageNone, ActBegin},
		{"a user's stop", running, stopRequested, api.StateAbandoned, StageNone, ActBegin},
		{"an API request that ends", running, requestEndedIdle, api.StateGone, StageDone, ActForget},
		{"a client that goes in the middle", running, requestEndedBusy, api.StateAbandoned, StageNone, ActBegin},
		{"a client that may be gone", running, requestDoubted, api.StateUnsure, StageNone, ActNothing},
		{"its directory goes while it runs, by a cleaner perhaps", running, requestLeftBusy, api.StateUnsure, StageNone, ActNothing},
		{"its directory goes when nothing runs", running, requestLeftIdle, api.StateGone, StageDone, ActForget},
		{"reported: its directory goes when nothing runs", reportedLive, requestLeftIdle, api.StateGone, StageDone, ActForget},
		{"it is there after all", unsure, requestCertain, api.StateRunning, StageNone, ActNothing},
		{"it is gone indeed", unsure, requestEndedBusy, api.StateAbandoned, StageNone, ActBegin},
		{"the service ends", unsure, ownerExitedBusy, api.StateAbandoned, StageNone, ActBegin},
		{"an unsure build that ends by itself", unsure, ownerExitedIdle, api.StateGone, StageDone, ActForget},
		{"a stop of an unsure build", unsure, stopRequested, api.StateAbandoned, StageNone, ActBegin},

		{"a step has no memory", running, memoryShort, api.StateRunning, StageNone, ActNothing},
		{"nor more processes", running, tasksShort, api.StateRunning, StageNone, ActNothing},
		{"too late to matter", killing, memoryShort, api.StateTerminating, StageKill, ActNothing},

		{"a build that hangs", running, stalledSeen, api.StateStalled, StageNone, ActNothing},
		{"it hangs once", stalled, stalledSeen, api.StateStalled, StageNone, ActNothing},
		{"it goes on", stalled, stalledOver, api.StateRunning, StageNone, ActNothing},
		{"a build that does not hang goes on", running, stalledOver, api.StateRunning, StageNone, ActNothing},
		{"it hangs for too long", stalled, stalledTooLong, api.StateAbandoned, StageNone, ActBegin},
		{"it has gone on right before", running, stalledTooLong, api.StateRunning, StageNone, ActNothing},
		{"a stop of one that hangs", stalled, stopRequested, api.StateAbandoned, StageNone, ActBegin},
		{"the deadline of one that hangs", stalled, deadlinePassed, api.StateAbandoned, StageNone, ActBegin},
		{"the owner of one that hangs ends", stalled, ownerExitedBusy, api.StateAbandoned, StageNone, ActBegin},
		{"who waits for its owner ends", stalled, waiterExited, api.StateAbandoned, StageNone, ActBegin},
		{"one that hung ends by itself", stalled, ownerExitedIdle, api.StateGone, StageDone, ActForget},
		{"its client goes", stalled, requestEndedBusy, api.StateAbandoned, StageNone, ActBegin},
		{"its client may be gone", stalled, requestDoubted, api.StateUnsure, StageNone, ActNothing},
		{"its client is there", stalled, requestCertain, api.StateStalled, StageNone, ActNothing},
		{"whether an unsure build hangs is not asked", unsure, stalledSeen, api.StateUnsure, StageNone, ActNothing},
		{"nor does it go on", unsure, stalledOver, api.StateUnsure, StageNone, ActNothing},
		{"nor is it ended for that", unsure, stalledTooLong, api.StateUnsure, StageNone, ActNothing},
		{"orphans are not ended for that", orphans, stalledTooLong, api.StateUnsure, StageNone, ActNothing},
		{"a hang seen too late", killing, stalledSeen, api.StateTerminating, StageKill, ActNothing},
		{"a hang that is over too late", killing, stalledOver, api.StateTerminating, StageKill, ActNothing},
		{"survivors do not go on", stuck, stalledOver, api.StateStuck, StageSurvivors, ActNothing},

		{"doubt comes too late", killing, requestDoubted, api.StateTerminating, StageKill, ActNothing},
		{"a running build has no ladder", running, timeOver, api.StateRunning, StageNone, ActNothing},

		{"orphans that end by themselves", orphans, emptied, api.StateGone, StageDone, ActForget},
		{"orphans on their user's word", orphans, stopRequested, api.StateAbandoned, StageNone, ActBegin},
		{"orphans are not ended by time", orphans, timeOver, api.StateUnsure, StageNone, ActNothing},

		{"the ladder begins", abandoned, begin, api.StateTerminating, StageKill, ActEnter},
		{"an owner that lives starts what it makes", stopped, begin, api.StateAbandoned, StageLetStart, ActEnter},
		{"all is started", letting, callSucceeded, api.StateTerminating, StageKill, ActEnter},
		{"something is not started in time", letting, timeOver, api.StateTerminating, StageKill, ActEnter},
		{"the owner ends before all is started", letting, ownerExitedBusy, api.StateTerminating, StageKill, ActEnter},
		{"a second stop hurries nothing", letting, stopRequested, api.StateAbandoned, StageLetStart, ActNothing},
		{"it begins once", killing, begin, api.StateTerminating, StageKill, ActNothing},
		{"a second stop changes nothing", killing, stopRequested, api.StateTerminating, StageKill, ActNothing},
		{"KillUnit's answer is no proof", killing, callSucceeded, api.StateTerminating, StageKill, ActNothing},

		{"killed, owner gone: the unit", killing, emptied, api.StateTerminating, StageStop, ActEnter},
		{"killed, owner lives: its turn", killingLive, emptied, api.StateTerminating, StageTidy, ActEnter},
		{"KillUnit failed", killing, callFailed, api.StateKilling, StageStop, ActEnter},
		{"KillUnit took too long", killing, timeOver, api.StateKilling, StageStop, ActEnter},
		{"containers first, whoever lives", killingLive, timeOver, api.StateKilling, StageStop, ActEnter},
		{"the owner ends meanwhile", killingLive, ownerExitedBusy, api.StateTerminating, StageKill, ActNothing},

		{"tidied up", at(with(stopped, isEmpty), api.StateTerminating, StageTidy), ownerExitedIdle,
			api.StateTerminating, StageStop, ActEnter},
		{"does not tidy up", at(with(stopped, isEmpty), api.StateTerminating, StageTidy), timeOver,
			api.StateTerminating, StageTerm, ActEnter},
		{"an API service is never signalled",
			at(with(with(stopped, isEmpty), isSpared), api.StateTerminating, StageTidy), timeOver,
			api.StateTerminating, StageStop, ActEnter},
		{"ignores SIGTERM", at(with(stopped, isEmpty), api.StateTerminating, StageTerm), timeOver,
			api.StateKilling, StageKillOwner, ActEnter},
		{"obeys SIGTERM", at(with(stopped, isEmpty), api.StateTerminating, StageTerm), ownerExitedIdle,
			api.StateTerminating, StageStop, ActEnter},
		{"survives SIGKILL", at(with(stopped, isEmpty), api.StateKilling, StageKillOwner), timeOver,
			api.StateKilling, StageStop, ActEnter},

		{"stopped and empty", with(stopping, isEmpty), callSucceeded, api.StateGone, StageDone, ActForget},
		{"empty, though systemd is silent", with(stopping, isEmpty), timeOver, api.StateGone, StageDone, ActForget},
		{"the job is not done yet", stopping, emptied, api.StateKilling, StageStop, ActNothing},
		{"the job is done, processes are left", stopping, callSucceeded, api.StateKilling, StageCgroupKill, ActEnter},
		{"the job failed", stopping, callFailed, api.StateKilling, StageCgroupKill, ActEnter},
		{"the job takes too long", stopping, timeOver, api.StateKilling, StageCgroupKill, ActEnter},
		{"StopUnit worked, owner lives: its turn", stoppingLive, emptied, api.StateKilling, StageTidy, ActEnter},
		{"stopped, empty, owner survives", with(with(stoppingLive, isEmpty), isTried), callSucceeded,
			api.StateStuck, StageSurvivors, ActEnter},

		{"cgroup.kill worked", lastRung, emptied, api.StateKilling, StageStop, ActEnter},
		{"cgroup.kill worked, owner lives", lastRungLive, emptied, api.StateKilling, StageTidy, ActEnter},
		{"cgroup.kill's write is no proof", lastRung, callSucceeded, api.StateKilling, StageCgroupKill, ActNothing},
		{"survivors are freed, if they can be", lastRung, timeOver, api.StateKilling, StageFree, ActEnter},
		{"their owner waits for that", lastRungLive, timeOver, api.StateKilling, StageFree, ActEnter},
		{"freed", freeing, emptied, api.StateKilling, StageStop, ActEnter},
		{"freed, owner lives: its turn", freeingLive, emptied, api.StateKilling, StageTidy, ActEnter},
		{"they can't be", freeing, timeOver, api.StateStuck, StageSurvivors, ActEnter},
		{"they can't be, owner lives", freeingLive, timeOver, api.StateKilling, StageTidy, ActEnter},
		{"the owner ends, survivors do not", with(at(stopped, api.StateKilling, StageTidy), isFreed), ownerExitedBusy,
			api.StateStuck, StageSurvivors, ActEnter},

		{"who served the storage goes last", with(with(stopping, isEmpty), isHelped), callSucceeded,
			api.StateKilling, StageHelpers, ActEnter},
		{"and is not waited for without end", with(at(with(stopping, isEmpty), api.StateKilling, StageHelpers), func(s *Status) { s.Helpers, s.Helped = true, true }),
			timeOver, api.StateGone, StageDone, ActForget},
		{"storage is learnt of", killing, helpersFound, api.StateTerminating, StageKill, ActNothing},

		{"a deadline", running, deadlinePassed, api.StateAbandoned, StageNone, ActBegin},
		{"a deadline of what is over", killing, deadlinePassed, api.StateTerminating, StageKill, ActNothing},

		{"a command inside is spared at first", at(with(stopped, isInside), api.StateAbandoned, StageLetStart), callSucceeded,
			api.StateTerminating, StageContainers, ActEnter},
		{"a command inside that has ended is not", with(abandoned, isInside), begin, api.StateTerminating, StageKill, ActEnter},
		{"its containers killed: its turn", at(with(stopped, isInside), api.StateTerminating, StageContainers), callSucceeded,
			api.StateTerminating, StageTidy, ActEnter},
		{"they could not be killed: its turn", at(with(stopped, isInside), api.StateTerminating, StageContainers), callFailed,
			api.StateTerminating, StageTidy, ActEnter},
		{"it ends before they have", at(with(stopped, isInside), api.StateTerminating, StageContainers), ownerExitedBusy,
			api.StateTerminating, StageKill, ActEnter},
		{"tidied up: what it has left", at(with(stopped, isInside), api.StateTerminating, StageTidy), ownerExitedBusy,
			api.StateTerminating, StageKill, ActEnter},
		{"tidied up, and nothing left", at(with(with(stopped, isInside), isEmpty), api.StateTerminating, StageTidy), ownerExitedIdle,
			api.StateTerminating, StageStop, ActEnter},
		{"a command inside does not tidy up", at(with(stopped, isInside), api.StateTerminating, StageTidy), timeOver,
			api.StateTerminating, StageTerm, ActEnter},
		{"a command inside survives SIGKILL", at(with(stopped, isInside), api.StateKilling, StageKillOwner), timeOver,
			api.StateKilling, StageKill, ActEnter},
		{"what it has left is ended", at(with(with(abandoned, isInside), isSwept), api.StateTerminating, StageKill), emptied,
			api.StateTerminating, StageStop, ActEnter},
		{"what it has left survives all", at(with(with(with(abandoned, isInside), isSwept), isTried), api.StateKilling, StageCgroupKill), timeOver,
			api.StateKilling, StageFree, ActEnter},

		{"the time of every build", running, maxRuntimePassed, api.StateAbandoned, StageNone, ActBegin},
		{"the time of every build, in doubt", unsure, maxRuntimePassed, api.StateAbandoned, StageNone, ActBegin},
		{"the time of every build, of what is over", killing, maxRuntimePassed, api.StateTerminating, StageKill, ActNothing},

		{"reported: an owner that leaves containers", careful, ownerExitedBusy, api.StateAbandoned, StageReported, ActReport},
		{"reported: an owner nobody waits for", careful, waiterExited, api.StateAbandoned, StageReported, ActReport},
		{"reported: a client that goes", careful, requestEndedBusy, api.StateAbandoned, StageReported, ActReport},
		{"reported: the time of every build", careful, maxRuntimePassed, api.StateAbandoned, StageReported, ActReport},
		{"reported: in doubt before", with(unsure, isReportOnly), requestEndedBusy, api.StateAbandoned, StageReported, ActReport},
		{"a user's stop is not only reported", careful, stopRequested, api.StateAbandoned, StageNone, ActBegin},
		{"nor is a user's own deadline", careful, deadlinePassed, api.StateAbandoned, StageNone, ActBegin},
		{"a build that ends by itself is nothing to report", careful, ownerExitedIdle, api.StateGone, StageDone, ActForget},
		{"a stop of what was reported", reported, stopRequested, api.StateAbandoned, StageNone, ActBegin},
		{"its user's deadline passes later", reportedLive, deadlinePassed, api.StateAbandoned, StageNone, ActBegin},
		{"reported once", reported, ownerExitedBusy, api.StateAbandoned, StageReported, ActNothing},
		{"reported: no time ends it", reported, maxRuntimePassed, api.StateAbandoned, StageReported, ActNothing},
		{"reported: no ladder", reported, timeOver, api.StateAbandoned, StageReported, ActNothing},
		{"reported: nothing begins by itself", reported, begin, api.StateAbandoned, StageReported, ActNothing},
		{"reported: ended by itself", reported, emptied, api.StateGone, StageDone, ActForget},
		{"reported: its owner ends, and nothing is left", reportedLive, ownerExitedIdle, api.StateGone, StageDone, ActForget},
		{"reported: its owner ends, containers do not", reportedLive, ownerExitedBusy, api.StateAbandoned, StageReported, ActNothing},
		{"reported: its request ends, and nothing is left", reportedLive, requestEndedIdle, api.StateGone, StageDone, ActForget},

		{"a stop between two steps", running, stopRequestedIdle, api.StateAbandoned, StageRefuse, ActEnter},
		{"the time of every build between two steps", running, maxRuntimePassedIdle, api.StateAbandoned, StageRefuse, ActEnter},
		{"it hung for too long, and its step has just ended", stalled, stalledTooLongIdle, api.StateAbandoned, StageRefuse, ActEnter},
		{"a stop of a service's build between two steps", with(running, isSpared), stopRequestedIdle, api.StateAbandoned, StageRefuse, ActEnter},
		{"a stop of what was reported, between two steps", reportedLive, stopRequestedIdle, api.StateAbandoned, StageRefuse, ActEnter},
		{"the time of every build between two steps is reported", careful, maxRuntimePassedIdle, api.StateAbandoned, StageReported, ActReport},
		{"a stop of a command that is in the scope itself", with(running, isInside), stopRequestedIdle, api.StateAbandoned, StageNone, ActBegin},
		{"its deadline likewise", with(running, isInside), deadlinePassedIdle, api.StateAbandoned, StageNone, ActBegin},
		{"a stop of orphans that have just ended", orphans, stopRequestedIdle, api.StateAbandoned, StageNone, ActBegin},
		{"who waits for the owner ends between two steps", running, waiterExited, api.StateAbandoned, StageNone, ActBegin},
		{"refusing: it ends by itself", refusing, ownerExitedIdle, api.StateGone, StageDone, ActForget},
		{"refusing: its request ends", refusing, requestLeftIdle, api.StateGone, StageDone, ActForget},
		{"refusing: its next step", refusing, stepRefused, api.StateAbandoned, StageRefuse, ActNothing},
		{"refusing: its owner leaves a step that was begun all the same", refusing, ownerExitedBusy, api.StateAbandoned, StageNone, ActBegin},
		{"refusing: who waits for its owner ends", refusing, waiterExited, api.StateAbandoned, StageNone, ActBegin},
		{"refusing: who asks again waits again", refusing, stopRequested, api.StateAbandoned, StageRefuse, ActEnter},
		{"refusing: who waits is told", refusing, timeOver, api.StateAbandoned, StageRefuse, ActRest},
		{"refusing: no time ends it", refusing, maxRuntimePassed, api.StateAbandoned, StageRefuse, ActNothing},
		{"its step has ended, and its owner does not", at(with(stopped, isEmpty), api.StateTerminating, StageTerm), ownerGoesOn,
			api.StateTerminating, StageRefuse, ActEnter},
		{"it goes on right after SIGTERM", at(with(stopped, isEmpty), api.StateKilling, StageKillOwner), ownerGoesOn,
			api.StateKilling, StageRefuse, ActEnter},
		{"it goes on for nobody", with(at(with(stopped, isEmpty), api.StateTerminating, StageTerm), isDeserted), ownerGoesOn,
			api.StateTerminating, StageTerm, ActNothing},
		{"and ends later", refusedLater, ownerExitedIdle, api.StateGone, StageDone, ActForget},

		{"the kernel lets go", stuck, emptied, api.StateGone, StageDone, ActForget},
		{"the kernel lets go, the owner is left", with(stuck, lives), emptied, api.StateStuck, StageSurvivors, ActNothing},
		{"the kernel lets go, the storage is served", with(stuck, isHelped), emptied, api.StateStuck, StageHelpers, ActEnter},
		{"stuck is not helped by time", stuck, timeOver, api.StateStuck, StageSurvivors, ActNothing},
		{"gone is the end", at(abandoned, api.StateGone, StageDone), stopRequested, api.StateGone, StageDone, ActNothing},
	} {
		got, act := row.event.to(row.from)
		if got.State != row.state || got.Stage != row.stage || act != row.action {
			t.Errorf("%s: %s/%q + %s → %s/%q, %q; want %s/%q, %q", row.name,
				row.from.State, row.from.Stage, row.event.Event, got.State, got.Stage, act, row.state, row.stage, row.action)
		}
	}
}

// TestEveryPathEnds walks every sequence of events: whatever happens in whatever
// order, the ladder has no cycle, a build is gone only when nothing is left, and
// one that is over never runs again.
func TestEveryPathEnds(t *testing.T) {
	// Without requestCertain and stalledOver: an unsure or stalled build may be running
	// again, as often as it likes.
	events := []happening{stopRequestedIdle, maxRuntimePassedIdle, stalledTooLongIdle, ownerGoesOn, stepRefused, ownerExitedIdle, ownerExitedBusy, requestEndedIdle, requestEndedBusy, requestLeftIdle, requestLeftBusy, requestDoubted, waiterExited, stopRequested, deadlinePassed, maxRuntimePassed, stalledSeen, stalledTooLong, helpersFound, begin, emptied, callSucceeded, callFailed, timeOver}
	var walk func(s Status, onPath map[Status]bool, climbed int)
	seen := map[Status]bool{}
	walk = func(s Status, onPath map[Status]bool, climbed int) {
		if climbed > 2*12 { // a ladder, and another for what is left by an owner that went on after the first
			t.Fatalf("the ladder does not end: %+v", s)
		}
		if s.State == api.StateGone && !s.Empty {
			t.Fatalf("gone with processes left: %+v", s)
		}
		seen[s] = true
		for _, e := range events {
			after, act := e.to(s)
			if after == s {
				continue
			}
			if onPath[after] {
				t.Fatalf("%+v comes back by %q", after, e.Event)
			}
			if s.State != api.StateRunning && after.State == api.StateRunning {
				t.Fatalf("%+v runs again by %q", s, e.Event)
			}
			if seen[after] {
				continue
			}
			onPath[after] = true
			rungs := climbed
			if act == ActEnter {
				rungs++
			}
			walk(after, onPath, rungs)
			delete(onPath, after)
		}
	}
	kinds := []func(*Status){isSpared, isInside, isReportOnly}
	for these := range 1 << len(kinds) { // each combination
		start := with(running, func(s *Status) {
			for i, kind := range kinds {
				if these&(1<<i) != 0 {
					kind(s)
				}
			}
		})
		walk(start, map[Status]bool{start: true}, 0)
	}
	walk(orphans, map[Status]bool{orphans: true}, 0)
	states, stages := map[api.State]bool{}, map[Stage]bool{}
	for s := range seen {
		states[s.State], stages[s.Stage] = true, true
	}
	for _, state := range api.States() {
		if !states[state] {
			t.Errorf("no path leads to %s", state)
		}
	}
	for _, row := range ladder {
		if !stages[row.Stage] {
			t.Errorf("no path leads to the stage %s", row.Stage)
		}
	}
	// Who does not ask whether containers are left is not told either.
	for s := range seen {
		for _, e := range events {
			idle, idleAct := Next(s, e.Event, false)
			busy, busyAct := Next(s, e.Event, true)
			if !e.AsksBusy() && (idle != busy || idleAct != busyAct) {
				t.Errorf("%+v: %q hangs on whether containers are left, and does not ask", s, e.Event)
			}
		}
	}
}

// reachable are the statuses to which any of the events, in whatever order, take a build.
func reachable(from Status, events []happening) map[Status]bool {
	seen := map[Status]bool{}
	var walk func(Status)
	walk = func(s Status) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, e := range events {
			after, _ := e.to(s)
			walk(after)
		}
	}
	walk(from)
	return seen
}

// TestAnOwnerIsNotSignalledWhileNoStepRuns: no path leads from a stop between two steps
// to a rung that signals the owner, unless it works for nobody.
func TestAnOwnerIsNotSignalledWhileNoStepRuns(t *testing.T) {
	events := []happening{stopRequested, stopRequestedIdle, maxRuntimePassed, maxRuntimePassedIdle, stalledTooLongIdle, deadlinePassedIdle,
		requestDoubted, requestCertain, stalledSeen, stepRefused, begin, emptied, callSucceeded, callFailed, timeOver, ownerGoesOn}
	for _, kind := range []func(*Status){func(*Status) {}, isSpared, isHelped} {
		for _, wish := range []happening{stopRequestedIdle, maxRuntimePassedIdle} {
			s, _ := wish.to(with(running, kind))
			for s := range reachable(s, events) {
				if !s.Refusing() {
					t.Errorf("it comes to %+v", s)
				}
			}
		}
	}
}

// TestSparedOwnerIsNeverSignalled: whatever happens, no path leads to a rung that signals it,
// though who waited for it has ended.
func TestSparedOwnerIsNeverSignalled(t *testing.T) {
	events := []happening{ownerExitedIdle, ownerExitedBusy, requestEndedIdle, requestEndedBusy, requestLeftIdle, requestLeftBusy, requestDoubted,
		requestCertain, waiterExited, stopRequested, stopRequestedIdle, deadlinePassed, deadlinePassedIdle, maxRuntimePassed, maxRuntimePassedIdle,
		stalledSeen, stalledTooLong, stalledTooLongIdle, stepRefused, helpersFound, begin, emptied, callSucceeded, callFailed, timeOver, ownerGoesOn}
	for _, kind := range []func(*Status){func(*Status) {}, isReportOnly, isHelped, isDeserted} {
		seen := reachable(with(with(running, isSpared), kind), events)
		for s := range seen {
			if s.Stage == StageTerm || s.Stage == StageKillOwner {
				t.Errorf("it comes to %+v", s)
			}
		}
		if len(seen) < 10 {
			t.Errorf("%d states were seen", len(seen))
		}
	}
}

// TestWhatNobodyEndedHasCompleted: also where somebody has asked for its end.
func TestWhatNobodyEndedHasCompleted(t *testing.T) {
	if s, _ := ownerExitedIdle.to(refusing); s.Reason != api.ReasonCompleted {
		t.Errorf("it has ended by itself: %s", s.Reason)
	}
	refused, _ := stepRefused.to(refusing)
	if s, _ := ownerExitedIdle.to(refused); s.Reason != api.ReasonStopped {
		t.Errorf("its step was refused: %s", s.Reason)
	}
	if s, _ := ownerExitedIdle.to(refusedLater); s.Reason != api.ReasonStopped {
		t.Errorf("its step was ended: %s", s.Reason)
	}
}

// TestNothingIsSentToWhatIsOnlyReported: but by a user's wish no path leads from a
// build to the ladder.
func TestNothingIsSentToWhatIsOnlyReported(t *testing.T) {
	wishes := []happening{stopRequested, deadlinePassed}
	all := []happening{ownerExitedIdle, ownerExitedBusy, requestEndedIdle, requestEndedBusy, requestLeftIdle, requestLeftBusy, requestDoubted, requestCertain, waiterExited, maxRuntimePassed, emptied, timeOver, callSucceeded, callFailed, begin}
	for _, kind := range []func(*Status){func(*Status) {}, isSpared, isInside} {
		for s := range reachable(with(careful, kind), all) {
			for _, e := range all {
				after, act := e.to(s)
				if act == ActBegin || act == ActEnter || !after.Open() && after.State != api.StateGone {
					t.Errorf("%+v: %q leads to %s/%q, %q", s, e.Event, after.State, after.Stage, act)
				}
			}
			for _, e := range wishes {
				if after, act := e.to(s); s.State != api.StateGone && (act != ActBegin || after.Stage == StageReported) {
					t.Errorf("%+v: %q leads to %s/%q, %q", s, e.Event, after.State, after.Stage, act)
				}
			}
		}
	}
}
