package watch

import "github.com/buildwatch/buildwatch/internal/api"

// status is all that the decisions about one build rest on.
type status struct {
	state  api.State
	reason api.Reason
	stage  stage
	// ownerLives: the owner has not ended, nor has the API request that it serves.
	ownerLives bool
	// ownerSpared: the owner serves others too (an API service) and is never signalled.
	ownerSpared bool
	// clientInside: the scope holds the build's client too (buildwatchctl run), and
	// its owner is in there. So the containers are ended by themselves first, and
	// all else that is in the scope when the owner is gone, or had its time.
	clientInside bool
	// reportOnly: a build that is over is left as it is, unless a user asks for its end.
	reportOnly bool
	// empty: the build is over and no process is left in its scope.
	empty bool
	// ownerTried: the owner had its time to tidy up, and was told to end.
	ownerTried bool
	// swept: what the owner has left in a scope with a client was told to end.
	swept bool
	// freed: what the survivors wait for was looked at, and ended where it may be.
	freed bool
	// helpers: processes outside serve the storage of the build's containers.
	// helped: they had their time to end.
	helpers, helped bool
	// unitStopped: systemd has said that the empty scope is stopped.
	unitStopped bool
}

// open tells whether the build may have further containers: somebody may want it,
// or nothing is to be done to it.
func (s status) open() bool { return s.state.Wanted() || s.stage == stageReported }

// stage is what is being done about a build that is over. Every stage but the
// first two and the last two has a time limit of its own.
type stage string

const (
	stageNone       stage = ""            // nothing: the build runs
	stageReported   stage = "reported"    // nothing: the build is over, and only shown as that
	stageLetStart   stage = "let_start"   // containers that are being made are awaited
	stageContainers stage = "containers"  // the containers alone were told to end, not their client
	stageKill       stage = "kill"        // KillUnit was called
	stageTidy       stage = "tidy"        // the owner may tidy up after its containers
	stageTerm       stage = "term"        // the owner got SIGTERM
	stageKillOwner  stage = "kill_owner"  // the owner got SIGKILL
	stageStop       stage = "stop"        // StopUnit was called
	stageCgroupKill stage = "cgroup_kill" // cgroup.kill was written
	stageFree       stage = "free"        // what the survivors wait for is being ended
	stageHelpers    stage = "helpers"     // nothing is left but who served the build's storage
	stageSurvivors  stage = "survivors"   // nothing more can be sent
	stageDone       stage = "done"
)

// rung is the rung of the ladder that a stage belongs to, or "".
func (s stage) rung() api.Step {
	switch s {
	case stageContainers, stageKill:
		return api.StepKill
	case stageTidy, stageTerm, stageKillOwner:
		return api.StepOwner
	case stageStop:
		return api.StepStop
	case stageCgroupKill:
		return api.StepCgroupKill
	case stageFree:
		return api.StepSurvivors
	case stageHelpers:
		return api.StepHelpers
	}
	return ""
}

// event is something that happened to a build.
type event string

const (
	ownerExitedIdle  event = "owner exited, no container was left"
	ownerExitedBusy  event = "owner exited, containers were left"
	clientExited     event = "who waits for the owner exited"
	requestEndedIdle event = "API request ended, no container was left"
	requestEndedBusy event = "API request ended, containers were left"
	requestLeft      event = "the API request's directory is gone" // becomes one of the others, see ifBusy
	requestDoubted   event = "it can't be told whether the API request has ended"
	requestCertain   event = "the API request has not ended"
	deadlinePassed   event = "the time that its user gave the build is over"
	maxRuntimePassed event = "the time that every build has is over"
	stalledSeen      event = "nothing of the build can go on by itself"
	stalledOver      event = "the build goes on"
	stalledTooLong   event = "the build was stalled for too long"
	stopRequested    event = "stop requested"
	helpersFound     event = "the build's storage has helpers"
	begin            event = "begin" // the answer to actBegin
	emptied          event = "emptied"
	callSucceeded    event = "call succeeded"
	callFailed       event = "call failed"
	timeOver         event = "time over" // the stage's own
)

// ifBusy turns an event into what it is for a build that has containers left, or
// has none. Who removes a request's directory is its handler, at its end, or a
// cleaner: with nothing running it does not matter which.
func (e event) ifBusy(busy func() bool) event {
	switch {
	case e == ownerExitedIdle && busy():
		return ownerExitedBusy
	case e == requestEndedIdle && busy():
		return requestEndedBusy
	case e == requestLeft && busy():
		return requestDoubted
	case e == requestLeft:
		return requestEndedIdle
	}
	return e
}

// action is what a transition asks for. A stage that begins is an action too:
// its call, and its timer.
type action string

const (
	actNothing action = ""
	actBegin   action = "begin"  // say what was decided, then send begin
	actReport  action = "report" // say what would have been done
	actEnter   action = "enter"  // do what the new stage does, and start its timer
	actForget  action = "forget" // the build is gone; see that its scope is too
)

// next is the state machine: what a build becomes by an event, and what is to be
// done then. It is pure; an event that means nothing in a state changes nothing.
//
// The order of the ladder: let an owner that lives start the containers that it is
// making, for only then does it notice their end; kill the containers; give a living owner time to tidy
// up, then end it; stop the unit; cgroup.kill; free what is left. A rung that leaves processes is
// followed by the next; one that leaves none, by what remains to be done for an
// empty scope. Where the client is inside, killing is done twice: the containers
// first, and when the owner has gone all that is left.
func next(s status, e event) (status, action) {
	switch e {
	case ownerExitedIdle, ownerExitedBusy, requestEndedIdle, requestEndedBusy:
		s.ownerLives = false
	case emptied:
		s.empty = true
	case helpersFound:
		s.helpers = true
	}

	switch s.state {
	case api.StateRunning, api.StateStalled, api.StateUnsure:
		switch e {
		case ownerExitedIdle, requestEndedIdle, emptied: // emptied: orphans that nobody is known to own
			s.state, s.reason, s.stage, s.empty = api.StateGone, api.ReasonCompleted, stageDone, true
			return s, actForget
		case ownerExitedBusy, clientExited:
			return over(s, api.ReasonOwnerExited)
		case requestEndedBusy:
			return over(s, api.ReasonClientDisconnected)
		case maxRuntimePassed:
			return over(s, api.ReasonDeadline)
		case requestDoubted:
			s.state = api.StateUnsure
		case requestCertain:
			if s.state == api.StateUnsure {
				s.state = api.StateRunning
			}
		case stalledSeen: // of an unsure build, whether it is wanted at all is the greater doubt
			if s.state == api.StateRunning {
				s.state = api.StateStalled
			}
		case stalledOver:
			if s.state == api.StateStalled {
				s.state = api.StateRunning
			}
		case stalledTooLong:
			if s.state == api.StateStalled {
				return over(s, api.ReasonStalled)
			}
		case stopRequested:
			return wished(s, api.ReasonStopped)
		case deadlinePassed:
			return wished(s, api.ReasonDeadline)
		}

	case api.StateAbandoned:
		switch {
		case s.stage == stageReported && e == stopRequested:
			return wished(s, api.ReasonStopped)
		case s.stage == stageReported && e == deadlinePassed:
			return wished(s, api.ReasonDeadline)
		case s.stage == stageReported && (e == ownerExitedIdle || e == requestEndedIdle || s.empty && !s.ownerLives):
			s.state, s.stage, s.empty = api.StateGone, stageDone, true
			return s, actForget
		case s.stage == stageNone && e == begin && s.ownerLives:
			return enter(s, stageLetStart)
		case s.stage == stageNone && e == begin,
			s.stage == stageLetStart && (e == callSucceeded || e == timeOver || !s.ownerLives):
			s.state = api.StateTerminating
			if s.clientInside && s.ownerLives {
				return enter(s, stageContainers)
			}
			return enter(s, stageKill)
		}

	case api.StateTerminating, api.StateKilling:
		return climb(s, e)

	case api.StateStuck:
		if s.empty && (s.stage == stageSurvivors || e == timeOver || e == callSucceeded || e == callFailed) {
			return finish(s)
		}
	}
	return s, actNothing
}

// over is the end of a build that nobody wants any more, by what is known of it.
func over(s status, why api.Reason) (status, action) {
	if s.reportOnly {
		s.state, s.reason, s.stage = api.StateAbandoned, why, stageReported
		return s, actReport
	}
	return wished(s, why)
}

// wished is the end of a build that a user has asked for: that is never only
// reported.
func wished(s status, why api.Reason) (status, action) {
	s.state, s.reason, s.stage = api.StateAbandoned, why, stageNone
	return s, actBegin
}

// climb takes the next rung of the ladder when the present one has had its
// effect, or its time.
func climb(s status, e event) (status, action) {
	missed := e == timeOver || e == callFailed
	switch s.stage {
	case stageContainers:
		switch {
		case !s.ownerLives || s.empty:
			return afterEmpty(s)
		case missed || e == callSucceeded:
			return enter(s, stageTidy)
		}

	case stageKill:
		switch {
		case s.empty:
			return afterEmpty(s)
		case missed:
			return enter(s, stageStop)
		}

	case stageTidy, stageTerm, stageKillOwner:
		switch {
		case !s.ownerLives:
			s.ownerTried = true
			return afterEmpty(s)
		case e == timeOver && s.stage == stageTidy && !s.ownerSpared:
			return enter(s, stageTerm)
		case e == timeOver && s.stage == stageTerm:
			return enter(s, stageKillOwner)
		case e == timeOver:
			s.ownerTried = true
			return afterEmpty(s)
		}

	case stageStop:
		switch {
		case s.empty && s.ownerLives && !s.ownerTried:
			return afterEmpty(s)
		case s.empty && (missed || e == callSucceeded):
			s.unitStopped = e == callSucceeded
			return finish(s)
		case !s.empty && (missed || e == callSucceeded):
			return enter(s, stageCgroupKill)
		}

	case stageCgroupKill:
		switch {
		case s.empty:
			return afterEmpty(s)
		case missed:
			return finish(s)
		}

	case stageFree:
		switch {
		case s.empty:
			return afterEmpty(s)
		case e == timeOver && s.ownerLives && !s.ownerTried:
			return enter(s, stageTidy)
		case e == timeOver:
			return finish(s)
		}

	case stageHelpers:
		if missed || e == callSucceeded {
			return finish(s)
		}
	}
	return s, actNothing
}

// afterEmpty goes on with a build whose containers are gone, or whose owner is.
func afterEmpty(s status) (status, action) {
	switch {
	case s.ownerLives && !s.ownerTried:
		return enter(s, stageTidy)
	case s.clientInside && !s.empty && !s.swept:
		s.swept = true
		return enter(s, stageKill)
	case s.empty && s.stage != stageStop:
		return enter(s, stageStop)
	default:
		return finish(s)
	}
}

// finish ends the ladder: with nothing left, or with survivors.
func finish(s status) (status, action) {
	switch {
	case !s.empty && !s.freed:
		s.freed = true
		return enter(s, stageFree)
	case s.empty && s.helpers && !s.helped && !s.ownerLives:
		s.helped = true
		return enter(s, stageHelpers)
	case s.empty && (!s.ownerLives || s.ownerSpared):
		s.state, s.stage = api.StateGone, stageDone
		return s, actForget
	case s.state == api.StateStuck:
		return s, actNothing
	}
	s.state, s.stage = api.StateStuck, stageSurvivors
	return s, actEnter
}

func enter(s status, to stage) (status, action) {
	s.stage = to
	if (to == stageStop || to == stageCgroupKill) && !s.empty || to == stageKillOwner {
		s.state = api.StateKilling
	}
	return s, actEnter
}
