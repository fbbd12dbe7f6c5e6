// Package lifecycle decides what becomes of a build: to which state an event takes it, and which
// rung of the ladder ends it. It knows no process, does no I/O and keeps no time: package watch
// sends it events, and has carried out what it asks for.
package lifecycle

import "github.com/buildwatch/buildwatch/api"

// Status is all that the decisions about one build rest on.
type Status struct {
	State  api.State
	Reason api.Reason
	Stage  Stage
	// OwnerLives: the owner has not ended, nor has the API request that it serves.
	OwnerLives bool
	// OwnerSpared: the owner serves others too (an API service), or belongs to a builder that
	// does something else as well, and is never signalled.
	OwnerSpared bool
	// CommandInside: the scope holds the build's command too (buildwatchctl run), and
	// its owner is in there. So the containers are ended by themselves first, and
	// all else that is in the scope when the owner is gone, or had its time.
	CommandInside bool
	// Deserted: a process that waited for the owner has ended before it: the owner works
	// for nobody.
	Deserted bool
	// Refused: a RUN step that was to begin while the build was to end did not, or was
	// ended at once.
	Refused bool
	// ReportOnly: a build that is over is left as it is, unless a user asks for its end.
	ReportOnly bool
	// Empty: the build is over and no process is left in its scope.
	Empty bool
	// OwnerTried: the owner had its time to tidy up, and was told to end.
	OwnerTried bool
	// Swept: what the owner has left in a scope with a command was told to end.
	Swept bool
	// Freed: what the survivors wait for was looked at, and ended where it may be.
	Freed bool
	// Helpers: processes outside serve the storage of the build's containers.
	// Helped: they had their time to end.
	Helpers, Helped bool
	// UnitStopped: systemd has said that the empty scope is stopped.
	UnitStopped bool
	// Short is the reason for a build's end that comes now: its last step was short of
	// something, and no step has begun since. "" for none.
	Short api.Reason
}

// Open reports whether the build may have further containers: somebody may want it,
// or nothing is to be done to it.
func (s Status) Open() bool { return s.State.Wanted() || s.Reported() }

// Reported reports whether the build is over, and only shown as that.
func (s Status) Reported() bool { return s.Stage == StageReported }

// Refusing reports whether the build is to end, and nothing is sent to it: no RUN step of
// it runs, and none is let begin.
func (s Status) Refusing() bool { return s.Stage == StageRefuse }

// Stage is what is being done about a build that is over.
type Stage string

// The stages that are no rung of the ladder; those that are stand beside its table.
const (
	StageNone      Stage = ""          // nothing: the build runs
	StageReported  Stage = "reported"  // nothing: the build is over, and only shown as that
	StageSurvivors Stage = "survivors" // nothing more can be sent
	StageDone      Stage = "done"
)

// Event is something that happened to a build.
type Event string

// Every event.
const (
	OwnerExited      Event = "owner exited"
	WaiterExited     Event = "who waits for the owner exited"
	RequestEnded     Event = "API request ended"
	RequestLeft      Event = "the API request's directory is gone"
	RequestDoubted   Event = "it can't be told whether the API request has ended"
	RequestCertain   Event = "the API request has not ended"
	DeadlinePassed   Event = "the time that its user gave the build is over"
	MaxRuntimePassed Event = "the time that every build has is over"
	StalledSeen      Event = "nothing of the build can go on by itself"
	StalledOver      Event = "the build goes on"
	StalledTooLong   Event = "the build was stalled for too long"
	StopRequested    Event = "stop requested"
	OwnerGoesOn      Event = "the owner has seen the end of its step, and works on"
	StepRefused      Event = "a RUN step was refused"
	HelpersFound     Event = "the build's storage has helpers"
	MemoryShort      Event = "the kernel has killed a process for want of memory"
	TasksShort       Event = "the kernel has made no process where one was wanted"
	Begin            Event = "begin" // the answer to ActBegin
	Emptied          Event = "emptied"
	CallSucceeded    Event = "call succeeded"
	CallFailed       Event = "call failed"
	TimeOver         Event = "time over" // the stage's own
)

// Means is the reason of a build that ends by itself after the event; "" for an event that is
// none.
func (e Event) Means() api.Reason {
	switch e {
	case MemoryShort:
		return api.ReasonOutOfMemory
	case TasksShort:
		return api.ReasonOutOfTasks
	}
	return ""
}

// StepBegan is the status after a further step has begun: what went before has not
// failed for want of anything.
func (s Status) StepBegan() Status {
	s.Short = ""
	return s
}

// AsksBusy reports whether the meaning of the event depends on containers that are left. For all
// others Next ignores busy.
func (e Event) AsksBusy() bool {
	switch e {
	case OwnerExited, RequestEnded, RequestLeft, StopRequested, DeadlinePassed, MaxRuntimePassed, StalledTooLong:
		return true
	}
	return false
}

// Action is what a transition asks for. A stage that begins is an action too:
// its call, and its timer.
type Action string

// Every action.
const (
	ActNothing Action = ""
	ActBegin   Action = "begin"  // say what was decided, then send Begin
	ActReport  Action = "report" // say what would have been done
	ActEnter   Action = "enter"  // do what the new stage does, and start its timer
	ActRest    Action = "rest"   // tell who waits for the end that nothing more is done for now
	ActForget  Action = "forget" // the build is gone; see that its scope is too
)
