package watch

import (
	"testing"

	"github.com/buildwatch/buildwatch/internal/api"
)

var (
	running      = status{state: api.StateRunning, ownerLives: true}
	stalled      = status{state: api.StateStalled, ownerLives: true}
	unsure       = status{state: api.StateUnsure, ownerLives: true}
	abandoned    = status{state: api.StateAbandoned, reason: api.ReasonOwnerExited}
	orphans      = status{state: api.StateUnsure}
	stopped      = status{state: api.StateAbandoned, reason: api.ReasonStopped, ownerLives: true}
	letting      = at(stopped, api.StateAbandoned, stageLetStart)
	killing      = at(abandoned, api.StateTerminating, stageKill)
	killingLive  = at(stopped, api.StateTerminating, stageKill)
	stopping     = at(abandoned, api.StateKilling, stageStop)
	stoppingLive = at(stopped, api.StateKilling, stageStop)
	lastRung     = at(abandoned, api.StateKilling, stageCgroupKill)
	lastRungLive = at(stopped, api.StateKilling, stageCgroupKill)
	freeing      = with(at(abandoned, api.StateKilling, stageFree), isFreed)
	freeingLive  = with(at(stopped, api.StateKilling, stageFree), isFreed)
	stuck        = with(at(abandoned, api.StateStuck, stageSurvivors), isFreed)
	careful      = with(running, isReportOnly)
	reported     = at(with(abandoned, isReportOnly), api.StateAbandoned, stageReported)
	reportedLive = with(reported, lives)
)

func at(s status, state api.State, stage stage) status {
	s.state, s.stage = state, stage
	return s
}

func with(s status, change func(*status)) status {
	change(&s)
	return s
}

func isEmpty(s *status)      { s.empty = true }
func isTried(s *status)      { s.ownerTried = true }
func isSpared(s *status)     { s.ownerSpared = true }
func isInside(s *status)     { s.clientInside = true }
func isSwept(s *status)      { s.swept = true }
func isReportOnly(s *status) { s.reportOnly = true }
func lives(s *status)        { s.ownerLives = true }
func isFreed(s *status)      { s.freed = true }
func isHelped(s *status)     { s.helpers = true }

// TestNext is the table of the state machine, row by row.
func TestNext(t *testing.T) {
	for _, row := range []struct {
		name   string
		from   status
		event  event
		state  api.State
		stage  stage
		action action
	}{
		{"a build that ends by itself", running, ownerExitedIdle, api.StateGone, stageDone, actForget},
		{"an owner that leaves containers", running, ownerExitedBusy, api.StateAbandoned, stageNone, actBegin},
		{"an owner nobody waits for", running, clientExited, api.StateAbandoned, stageNone, actBegin},
		{"a user's stop", running, stopRequested, api.StateAbandoned, stageNone, actBegin},
		{"an API request that ends", running, requestEndedIdle, api.StateGone, stageDone, actForget},
		{"a client that goes in the middle", running, requestEndedBusy, api.StateAbandoned, stageNone, actBegin},
		{"a client that may be gone", running, requestDoubted, api.StateUnsure, stageNone, actNothing},
		{"it is there after all", unsure, requestCertain, api.StateRunning, stageNone, actNothing},
		{"it is gone indeed", unsure, requestEndedBusy, api.StateAbandoned, stageNone, actBegin},
		{"the service ends", unsure, ownerExitedBusy, api.StateAbandoned, stageNone, actBegin},
		{"an unsure build that ends by itself", unsure, ownerExitedIdle, api.StateGone, stageDone, actForget},
		{"a stop of an unsure build", unsure, stopRequested, api.StateAbandoned, stageNone, actBegin},

		{"a build that hangs", running, stalledSeen, api.StateStalled, stageNone, actNothing},
		{"it hangs once", stalled, stalledSeen, api.StateStalled, stageNone, actNothing},
		{"it goes on", stalled, stalledOver, api.StateRunning, stageNone, actNothing},
		{"a build that does not hang goes on", running, stalledOver, api.StateRunning, stageNone, actNothing},
		{"it hangs for too long", stalled, stalledTooLong, api.StateAbandoned, stageNone, actBegin},
		{"it has gone on right before", running, stalledTooLong, api.StateRunning, stageNone, actNothing},
		{"a stop of one that hangs", stalled, stopRequested, api.StateAbandoned, stageNone, actBegin},
		{"the deadline of one that hangs", stalled, deadlinePassed, api.StateAbandoned, stageNone, actBegin},
		{"the owner of one that hangs ends", stalled, ownerExitedBusy, api.StateAbandoned, stageNone, actBegin},
		{"who waits for its owner ends", stalled, clientExited, api.StateAbandoned, stageNone, actBegin},
		{"one that hung ends by itself", stalled, ownerExitedIdle, api.StateGone, stageDone, actForget},
		{"its client goes", stalled, requestEndedBusy, api.StateAbandoned, stageNone, actBegin},
		{"its client may be gone", stalled, requestDoubted, api.StateUnsure, stageNone, actNothing},
		{"its client is there", stalled, requestCertain, api.StateStalled, stageNone, actNothing},
		{"whether an unsure build hangs is not asked", unsure, stalledSeen, api.StateUnsure, stageNone, actNothing},
		{"nor does it go on", unsure, stalledOver, api.StateUnsure, stageNone, actNothing},
		{"nor is it ended for that", unsure, stalledTooLong, api.StateUnsure, stageNone, actNothing},
		{"orphans are not ended for that", orphans, stalledTooLong, api.StateUnsure, stageNone, actNothing},
		{"a hang seen too late", killing, stalledSeen, api.StateTerminating, stageKill, actNothing},
		{"a hang that is over too late", killing, stalledOver, api.StateTerminating, stageKill, actNothing},
		{"survivors do not go on", stuck, stalledOver, api.StateStuck, stageSurvivors, actNothing},

		{"doubt comes too late", killing, requestDoubted, api.StateTerminating, stageKill, actNothing},
		{"a running build has no ladder", running, timeOver, api.StateRunning, stageNone, actNothing},

		{"orphans that end by themselves", orphans, emptied, api.StateGone, stageDone, actForget},
		{"orphans on their user's word", orphans, stopRequested, api.StateAbandoned, stageNone, actBegin},
		{"orphans are not ended by time", orphans, timeOver, api.StateUnsure, stageNone, actNothing},

		{"the ladder begins", abandoned, begin, api.StateTerminating, stageKill, actEnter},
		{"an owner that lives starts what it makes", stopped, begin, api.StateAbandoned, stageLetStart, actEnter},
		{"all is started", letting, callSucceeded, api.StateTerminating, stageKill, actEnter},
		{"something is not started in time", letting, timeOver, api.StateTerminating, stageKill, actEnter},
		{"the owner ends before all is started", letting, ownerExitedBusy, api.StateTerminating, stageKill, actEnter},
		{"a second stop hurries nothing", letting, stopRequested, api.StateAbandoned, stageLetStart, actNothing},
		{"it begins once", killing, begin, api.StateTerminating, stageKill, actNothing},
		{"a second stop changes nothing", killing, stopRequested, api.StateTerminating, stageKill, actNothing},
		{"KillUnit's answer is no proof", killing, callSucceeded, api.StateTerminating, stageKill, actNothing},

		{"killed, owner gone: the unit", killing, emptied, api.StateTerminating, stageStop, actEnter},
		{"killed, owner lives: its turn", killingLive, emptied, api.StateTerminating, stageTidy, actEnter},
		{"KillUnit failed", killing, callFailed, api.StateKilling, stageStop, actEnter},
		{"KillUnit took too long", killing, timeOver, api.StateKilling, stageStop, actEnter},
		{"containers first, whoever lives", killingLive, timeOver, api.StateKilling, stageStop, actEnter},
		{"the owner ends meanwhile", killingLive, ownerExitedBusy, api.StateTerminating, stageKill, actNothing},

		{"tidied up", at(with(stopped, isEmpty), api.StateTerminating, stageTidy), ownerExitedIdle,
			api.StateTerminating, stageStop, actEnter},
		{"does not tidy up", at(with(stopped, isEmpty), api.StateTerminating, stageTidy), timeOver,
			api.StateTerminating, stageTerm, actEnter},
		{"an API service is never signalled",
			at(with(with(stopped, isEmpty), isSpared), api.StateTerminating, stageTidy), timeOver,
			api.StateTerminating, stageStop, actEnter},
		{"ignores SIGTERM", at(with(stopped, isEmpty), api.StateTerminating, stageTerm), timeOver,
			api.StateKilling, stageKillOwner, actEnter},
		{"obeys SIGTERM", at(with(stopped, isEmpty), api.StateTerminating, stageTerm), ownerExitedIdle,
			api.StateTerminating, stageStop, actEnter},
		{"survives SIGKILL", at(with(stopped, isEmpty), api.StateKilling, stageKillOwner), timeOver,
			api.StateKilling, stageStop, actEnter},

		{"stopped and empty", with(stopping, isEmpty), callSucceeded, api.StateGone, stageDone, actForget},
		{"empty, though systemd is silent", with(stopping, isEmpty), timeOver, api.StateGone, stageDone, actForget},
		{"the job is not done yet", stopping, emptied, api.StateKilling, stageStop, actNothing},
		{"the job is done, processes are left", stopping, callSucceeded, api.StateKilling, stageCgroupKill, actEnter},
		{"the job failed", stopping, callFailed, api.StateKilling, stageCgroupKill, actEnter},
		{"the job takes too long", stopping, timeOver, api.StateKilling, stageCgroupKill, actEnter},
		{"StopUnit worked, owner lives: its turn", stoppingLive, emptied, api.StateKilling, stageTidy, actEnter},
		{"stopped, empty, owner survives", with(with(stoppingLive, isEmpty), isTried), callSucceeded,
			api.StateStuck, stageSurvivors, actEnter},

		{"cgroup.kill worked", lastRung, emptied, api.StateKilling, stageStop, actEnter},
		{"cgroup.kill worked, owner lives", lastRungLive, emptied, api.StateKilling, stageTidy, actEnter},
		{"cgroup.kill's write is no proof", lastRung, callSucceeded, api.StateKilling, stageCgroupKill, actNothing},
		{"survivors are freed, if they can be", lastRung, timeOver, api.StateKilling, stageFree, actEnter},
		{"their owner waits for that", lastRungLive, timeOver, api.StateKilling, stageFree, actEnter},
		{"freed", freeing, emptied, api.StateKilling, stageStop, actEnter},
		{"freed, owner lives: its turn", freeingLive, emptied, api.StateKilling, stageTidy, actEnter},
		{"they can't be", freeing, timeOver, api.StateStuck, stageSurvivors, actEnter},
		{"they can't be, owner lives", freeingLive, timeOver, api.StateKilling, stageTidy, actEnter},
		{"the owner ends, survivors do not", with(at(stopped, api.StateKilling, stageTidy), isFreed), ownerExitedBusy,
			api.StateStuck, stageSurvivors, actEnter},

		{"who served the storage goes last", with(with(stopping, isEmpty), isHelped), callSucceeded,
			api.StateKilling, stageHelpers, actEnter},
		{"and is not waited for without end", with(at(with(stopping, isEmpty), api.StateKilling, stageHelpers), func(s *status) { s.helpers, s.helped = true, true }),
			timeOver, api.StateGone, stageDone, actForget},
		{"storage is learnt of", killing, helpersFound, api.StateTerminating, stageKill, actNothing},

		{"a deadline", running, deadlinePassed, api.StateAbandoned, stageNone, actBegin},
		{"a deadline of what is over", killing, deadlinePassed, api.StateTerminating, stageKill, actNothing},

		{"a client inside is spared at first", at(with(stopped, isInside), api.StateAbandoned, stageLetStart), callSucceeded,
			api.StateTerminating, stageContainers, actEnter},
		{"a client inside that has ended is not", with(abandoned, isInside), begin, api.StateTerminating, stageKill, actEnter},
		{"its containers killed: its turn", at(with(stopped, isInside), api.StateTerminating, stageContainers), callSucceeded,
			api.StateTerminating, stageTidy, actEnter},
		{"they could not be killed: its turn", at(with(stopped, isInside), api.StateTerminating, stageContainers), callFailed,
			api.StateTerminating, stageTidy, actEnter},
		{"it ends before they have", at(with(stopped, isInside), api.StateTerminating, stageContainers), ownerExitedBusy,
			api.StateTerminating, stageKill, actEnter},
		{"tidied up: what it has left", at(with(stopped, isInside), api.StateTerminating, stageTidy), ownerExitedBusy,
			api.StateTerminating, stageKill, actEnter},
		{"tidied up, and nothing left", at(with(with(stopped, isInside), isEmpty), api.StateTerminating, stageTidy), ownerExitedIdle,
			api.StateTerminating, stageStop, actEnter},
		{"a client inside does not tidy up", at(with(stopped, isInside), api.StateTerminating, stageTidy), timeOver,
			api.StateTerminating, stageTerm, actEnter},
		{"a client inside survives SIGKILL", at(with(stopped, isInside), api.StateKilling, stageKillOwner), timeOver,
			api.StateKilling, stageKill, actEnter},
		{"what it has left is ended", at(with(with(abandoned, isInside), isSwept), api.StateTerminating, stageKill), emptied,
			api.StateTerminating, stageStop, actEnter},
		{"what it has left survives all", at(with(with(with(abandoned, isInside), isSwept), isTried), api.StateKilling, stageCgroupKill), timeOver,
			api.StateKilling, stageFree, actEnter},

		{"the time of every build", running, maxRuntimePassed, api.StateAbandoned, stageNone, actBegin},
		{"the time of every build, in doubt", unsure, maxRuntimePassed, api.StateAbandoned, stageNone, actBegin},
		{"the time of every build, of what is over", killing, maxRuntimePassed, api.StateTerminating, stageKill, actNothing},

		{"reported: an owner that leaves containers", careful, ownerExitedBusy, api.StateAbandoned, stageReported, actReport},
		{"reported: an owner nobody waits for", careful, clientExited, api.StateAbandoned, stageReported, actReport},
		{"reported: a client that goes", careful, requestEndedBusy, api.StateAbandoned, stageReported, actReport},
		{"reported: the time of every build", careful, maxRuntimePassed, api.StateAbandoned, stageReported, actReport},
		{"reported: in doubt before", with(unsure, isReportOnly), requestEndedBusy, api.StateAbandoned, stageReported, actReport},
		{"a user's stop is not only reported", careful, stopRequested, api.StateAbandoned, stageNone, actBegin},
		{"nor is a user's own deadline", careful, deadlinePassed, api.StateAbandoned, stageNone, actBegin},
		{"a build that ends by itself is nothing to report", careful, ownerExitedIdle, api.StateGone, stageDone, actForget},
		{"a stop of what was reported", reported, stopRequested, api.StateAbandoned, stageNone, actBegin},
		{"its user's deadline passes later", reportedLive, deadlinePassed, api.StateAbandoned, stageNone, actBegin},
		{"reported once", reported, ownerExitedBusy, api.StateAbandoned, stageReported, actNothing},
		{"reported: no time ends it", reported, maxRuntimePassed, api.StateAbandoned, stageReported, actNothing},
		{"reported: no ladder", reported, timeOver, api.StateAbandoned, stageReported, actNothing},
		{"reported: nothing begins by itself", reported, begin, api.StateAbandoned, stageReported, actNothing},
		{"reported: ended by itself", reported, emptied, api.StateGone, stageDone, actForget},
		{"reported: its owner ends, and nothing is left", reportedLive, ownerExitedIdle, api.StateGone, stageDone, actForget},
		{"reported: its owner ends, containers do not", reportedLive, ownerExitedBusy, api.StateAbandoned, stageReported, actNothing},
		{"reported: its request ends, and nothing is left", reportedLive, requestEndedIdle, api.StateGone, stageDone, actForget},

		{"the kernel lets go", stuck, emptied, api.StateGone, stageDone, actForget},
		{"the kernel lets go, the owner is left", with(stuck, lives), emptied, api.StateStuck, stageSurvivors, actNothing},
		{"the kernel lets go, the storage is served", with(stuck, isHelped), emptied, api.StateStuck, stageHelpers, actEnter},
		{"stuck is not helped by time", stuck, timeOver, api.StateStuck, stageSurvivors, actNothing},
		{"gone is the end", at(abandoned, api.StateGone, stageDone), stopRequested, api.StateGone, stageDone, actNothing},
	} {
		got, act := next(row.from, row.event)
		if got.state != row.state || got.stage != row.stage || act != row.action {
			t.Errorf("%s: %s/%q + %s → %s/%q, %q; want %s/%q, %q", row.name,
				row.from.state, row.from.stage, row.event, got.state, got.stage, act, row.state, row.stage, row.action)
		}
	}
}

// TestEveryPathEnds walks every sequence of events: whatever happens in whatever
// order, the ladder has no cycle, a build is gone only when nothing is left, and
// one that is over never runs again.
func TestEveryPathEnds(t *testing.T) {
	// Without requestCertain and stalledOver: an unsure or stalled build may be running
	// again, as often as it likes.
	events := []event{ownerExitedIdle, ownerExitedBusy, requestEndedIdle, requestEndedBusy, requestDoubted, clientExited, stopRequested, deadlinePassed, maxRuntimePassed, stalledSeen, stalledTooLong, helpersFound, begin, emptied, callSucceeded, callFailed, timeOver}
	var walk func(s status, onPath map[status]bool, climbed int)
	seen := map[status]bool{}
	walk = func(s status, onPath map[status]bool, climbed int) {
		if climbed > 12 {
			t.Fatalf("the ladder does not end: %+v", s)
		}
		if s.state == api.StateGone && !s.empty {
			t.Fatalf("gone with processes left: %+v", s)
		}
		seen[s] = true
		for _, e := range events {
			after, act := next(s, e)
			if after == s {
				continue
			}
			if onPath[after] {
				t.Fatalf("%+v comes back by %q", after, e)
			}
			if s.state != api.StateRunning && after.state == api.StateRunning {
				t.Fatalf("%+v runs again by %q", s, e)
			}
			if seen[after] {
				continue
			}
			onPath[after] = true
			rungs := climbed
			if act == actEnter {
				rungs++
			}
			walk(after, onPath, rungs)
			delete(onPath, after)
		}
	}
	for _, kind := range []func(*status){func(*status) {}, isSpared, isInside, isReportOnly} {
		start := with(running, kind)
		walk(start, map[status]bool{start: true}, 0)
	}
	walk(orphans, map[status]bool{orphans: true}, 0)
	if len(seen) < 30 {
		t.Errorf("only %d states were reached", len(seen))
	}
}

// TestNothingIsSentToWhatIsOnlyReported: but by a user's wish no path leads from a
// build to the ladder.
func TestNothingIsSentToWhatIsOnlyReported(t *testing.T) {
	wishes := []event{stopRequested, deadlinePassed}
	all := []event{ownerExitedIdle, ownerExitedBusy, requestEndedIdle, requestEndedBusy, requestDoubted, requestCertain, clientExited, maxRuntimePassed, emptied, timeOver, callSucceeded, callFailed, begin}
	for _, kind := range []func(*status){func(*status) {}, isSpared, isInside} {
		seen := map[status]bool{}
		var walk func(status)
		walk = func(s status) {
			if seen[s] {
				return
			}
			seen[s] = true
			for _, e := range all {
				after, act := next(s, e)
				if act == actBegin || act == actEnter || !after.open() && after.state != api.StateGone {
					t.Errorf("%+v: %q leads to %s/%q, %q", s, e, after.state, after.stage, act)
				}
				walk(after)
			}
			for _, e := range wishes {
				if after, act := next(s, e); s.state != api.StateGone && (act != actBegin || after.stage == stageReported) {
					t.Errorf("%+v: %q leads to %s/%q, %q", s, e, after.state, after.stage, act)
				}
			}
		}
		walk(with(careful, kind))
	}
}

// TestIfBusy: what an end means depends on whether containers are left.
func TestIfBusy(t *testing.T) {
	for _, row := range []struct{ e, idle, busy event }{
		{ownerExitedIdle, ownerExitedIdle, ownerExitedBusy},
		{requestEndedIdle, requestEndedIdle, requestEndedBusy},
		{requestLeft, requestEndedIdle, requestDoubted},
		{stopRequested, stopRequested, stopRequested},
	} {
		idle, busy := row.e.ifBusy(func() bool { return false }), row.e.ifBusy(func() bool { return true })
		if idle != row.idle || busy != row.busy {
			t.Errorf("%q becomes %q, and busy %q", row.e, idle, busy)
		}
	}
}
