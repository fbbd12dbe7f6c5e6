package lifecycle

import (
	"cmp"

	"github.com/buildwatch/buildwatch/api"
)

// Next is the state machine: it returns what a build becomes by an event, and what is to be done
// then. busy says whether containers are left. An event that means nothing in a state changes
// nothing.
//
// The order of the ladder: let a living owner start the containers that it is making, for only
// then does it notice their end; kill the containers; give a living owner time to tidy up, then
// end it; stop the unit; cgroup.kill; free what is left. A rung that leaves processes is followed
// by the next one; one that leaves none, by what remains to be done for an empty scope. With the
// command inside, killing is done twice: first the containers, and when the owner has gone all
// that is left.
//
// An owner is told to end only while one of its RUN steps runs, or if it works for nobody:
// between two steps it may do something else than build, or complete. Its next step is refused
// then, which makes it end by itself.
func Next(s Status, e Event, busy bool) (Status, Action) {
	// Who removes a request's directory is its handler, at its end, or a cleaner: with
	// nothing running it does not matter which.
	over := e == OwnerExited || e == RequestEnded || e == RequestLeft && !busy
	switch {
	case over:
		s.OwnerLives = false
	case e == Emptied:
		s.Empty = true
	case e == HelpersFound:
		s.Helpers = true
	case e == MemoryShort || e == TasksShort && s.Short == "": // who has no memory makes no process either
		s.Short = e.Means()
	}

	if s.Refusing() {
		return whileRefusing(s, e, busy, over)
	}
	switch s.State {
	case api.StateRunning, api.StateStalled, api.StateUnsure:
		return whileWanted(s, e, busy, over)
	case api.StateAbandoned:
		return whileAbandoned(s, e, busy, over)
	case api.StateTerminating, api.StateKilling:
		return climb(s, e)
	case api.StateStuck:
		if s.Empty && (s.Stage == StageSurvivors || e == TimeOver || e == CallSucceeded || e == CallFailed) {
			return finish(s)
		}
	}
	return s, ActNothing
}

// whileWanted goes on with a build that is kept: here it is decided that a build is over.
func whileWanted(s Status, e Event, busy, over bool) (Status, Action) {
	if over && !busy || e == Emptied { // emptied: orphans that nobody is known to own
		s.State, s.Reason, s.Stage, s.Empty = api.StateGone, cmp.Or(s.Short, api.ReasonCompleted), StageDone, true
		return s, ActForget
	}
	switch e {
	case OwnerExited:
		return unwanted(s, s.ownersEnd(), busy)
	case WaiterExited:
		s.Deserted = true
		return unwanted(s, api.ReasonOwnerExited, busy)
	case RequestEnded:
		return unwanted(s, api.ReasonClientDisconnected, busy)
	case MaxRuntimePassed:
		return unwanted(s, api.ReasonDeadline, busy)
	case StalledTooLong:
		if s.State == api.StateStalled {
			return unwanted(s, api.ReasonStalled, busy)
		}
	case StopRequested:
		return wished(s, api.ReasonStopped, busy)
	case DeadlinePassed:
		return wished(s, api.ReasonDeadline, busy)
	}
	s.State = kept(s.State, e)
	return s, ActNothing
}

// kept is the state of a build that goes on, after an event that ends none. Of an unsure one,
// whether it is wanted at all is the greater doubt than whether it hangs.
func kept(now api.State, e Event) api.State {
	switch {
	case e == RequestDoubted || e == RequestLeft:
		return api.StateUnsure
	case now == api.StateUnsure && e == RequestCertain, now == api.StateStalled && e == StalledOver:
		return api.StateRunning
	case now == api.StateRunning && e == StalledSeen:
		return api.StateStalled
	}
	return now
}

// whileAbandoned goes on with a build that is over: its end begins, or it is only reported.
func whileAbandoned(s Status, e Event, busy, over bool) (Status, Action) {
	switch {
	case s.Reported() && e == StopRequested:
		return wished(s, api.ReasonStopped, busy)
	case s.Reported() && e == DeadlinePassed:
		return wished(s, api.ReasonDeadline, busy)
	case s.Reported() && (over && !busy || s.Empty && !s.OwnerLives):
		s.State, s.Stage, s.Empty = api.StateGone, StageDone, true
		return s, ActForget
	case s.Stage == StageNone && e == Begin && s.OwnerLives:
		return enter(s, StageLetStart)
	case s.Stage == StageNone && e == Begin:
		return beginKilling(s)
	}
	return climb(s, e)
}

// ownersEnd is the reason of a build whose owner has ended before its containers. An owner
// that is inside is bounded as they are: when memory ends, the kernel may choose it.
func (s Status) ownersEnd() api.Reason {
	if s.CommandInside && s.Short == api.ReasonOutOfMemory && !s.ReportOnly {
		return s.Short
	}
	return api.ReasonOwnerExited
}

// unwanted is the end of a build that nobody wants any more, by what is known of it.
func unwanted(s Status, why api.Reason, busy bool) (Status, Action) {
	if s.ReportOnly {
		s.State, s.Reason, s.Stage = api.StateAbandoned, why, StageReported
		return s, ActReport
	}
	return wished(s, why, busy)
}

// wished is the end of a build that a user has asked for: that is never only
// reported.
func wished(s Status, why api.Reason, busy bool) (Status, Action) {
	s.State, s.Reason = api.StateAbandoned, why
	if s.OwnerLives && !busy && !s.Deserted && !s.CommandInside {
		return enter(s, StageRefuse)
	}
	s.Stage = StageNone
	return s, ActBegin
}

// whileRefusing goes on with a build that is to end and of which no step runs, until its owner
// has ended. over says that it has.
func whileRefusing(s Status, e Event, busy, over bool) (Status, Action) {
	switch {
	case over && busy, e == WaiterExited: // left by a step that began all the same; or for nobody
		s.Deserted = e == WaiterExited
		s.State, s.Stage, s.Empty, s.OwnerTried, s.Freed = api.StateAbandoned, StageNone, false, false, false
		return s, ActBegin
	case over:
		if s.State == api.StateAbandoned && !s.Refused {
			s.Reason = api.ReasonCompleted // nothing of it was ended
		}
		s.State, s.Stage, s.Empty = api.StateGone, StageDone, true
		return s, ActForget
	case e == StepRefused:
		s.Refused = true
	case e == StopRequested: // who asks waits for another while
		return s, ActEnter
	case e == TimeOver:
		return s, ActRest
	}
	return s, ActNothing
}

// climb takes the next rung of the ladder when the present one has had its effect, or its
// time: what its row says.
func climb(s Status, e Event) (Status, Action) {
	if rung, ok := s.Stage.Rung(); ok && rung.Then != nil {
		return rung.Then(s, e)
	}
	return s, ActNothing
}

// missed reports whether a rung did not have its effect.
func (e Event) missed() bool { return e == TimeOver || e == CallFailed }

func afterStart(s Status, e Event) (Status, Action) {
	if e != CallSucceeded && e != TimeOver && s.OwnerLives {
		return s, ActNothing
	}
	return beginKilling(s)
}

// beginKilling kills the containers, or, with the command inside, those alone.
func beginKilling(s Status) (Status, Action) {
	s.State = api.StateTerminating
	if s.CommandInside && s.OwnerLives {
		return enter(s, StageContainers)
	}
	return enter(s, StageKill)
}

func afterContainers(s Status, e Event) (Status, Action) {
	switch {
	case !s.OwnerLives || s.Empty:
		return afterEmpty(s)
	case e.missed() || e == CallSucceeded:
		return enter(s, StageTidy)
	}
	return s, ActNothing
}

// afterSignal is what follows a rung that ends the processes by one call; otherwise is for those
// that are left.
func afterSignal(otherwise func(Status) (Status, Action)) func(Status, Event) (Status, Action) {
	return func(s Status, e Event) (Status, Action) {
		switch {
		case s.Empty:
			return afterEmpty(s)
		case e.missed():
			return otherwise(s)
		}
		return s, ActNothing
	}
}

func thenStop(s Status) (Status, Action) { return enter(s, StageStop) }

// afterOwner is what follows a rung that waits for the owner's end; next is the rung for one
// that lives on, if there is another.
func afterOwner(next Stage) func(Status, Event) (Status, Action) {
	return func(s Status, e Event) (Status, Action) {
		switch {
		case s.OwnerLives && e == OwnerGoesOn && s.Empty && !s.Deserted && !s.CommandInside:
			return enter(s, StageRefuse)
		case s.OwnerLives && e != TimeOver:
			return s, ActNothing
		case s.OwnerLives && next != StageNone && !s.OwnerSpared:
			return enter(s, next)
		}
		s.OwnerTried = true
		return afterEmpty(s)
	}
}

func afterStop(s Status, e Event) (Status, Action) {
	switch {
	case s.Empty && s.OwnerLives && !s.OwnerTried:
		return afterEmpty(s)
	case s.Empty && (e.missed() || e == CallSucceeded):
		s.UnitStopped = e == CallSucceeded
		return finish(s)
	case !s.Empty && (e.missed() || e == CallSucceeded):
		return enter(s, StageCgroupKill)
	}
	return s, ActNothing
}

func afterFree(s Status, e Event) (Status, Action) {
	switch {
	case s.Empty:
		return afterEmpty(s)
	case e == TimeOver && s.OwnerLives && !s.OwnerTried:
		return enter(s, StageTidy)
	case e == TimeOver:
		return finish(s)
	}
	return s, ActNothing
}

func afterHelpers(s Status, e Event) (Status, Action) {
	if e.missed() || e == CallSucceeded {
		return finish(s)
	}
	return s, ActNothing
}

// afterEmpty goes on with a build whose containers are gone, or whose owner is.
func afterEmpty(s Status) (Status, Action) {
	switch {
	case s.OwnerLives && !s.OwnerTried:
		return enter(s, StageTidy)
	case s.CommandInside && !s.Empty && !s.Swept:
		s.Swept = true
		return enter(s, StageKill)
	case s.Empty && s.Stage != StageStop:
		return enter(s, StageStop)
	default:
		return finish(s)
	}
}

// finish ends the ladder: with nothing left, or with survivors.
func finish(s Status) (Status, Action) {
	switch {
	case !s.Empty && !s.Freed:
		s.Freed = true
		return enter(s, StageFree)
	case s.Empty && s.Helpers && !s.Helped && !s.OwnerLives:
		s.Helped = true
		return enter(s, StageHelpers)
	case s.Empty && (!s.OwnerLives || s.OwnerSpared):
		s.State, s.Stage = api.StateGone, StageDone
		return s, ActForget
	case s.State == api.StateStuck:
		return s, ActNothing
	}
	s.State, s.Stage = api.StateStuck, StageSurvivors
	return s, ActEnter
}

func enter(s Status, to Stage) (Status, Action) {
	s.Stage = to
	if (to == StageStop || to == StageCgroupKill) && !s.Empty || to == StageKillOwner {
		s.State = api.StateKilling
	}
	return s, ActEnter
}
