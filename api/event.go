package api

import (
	"slices"
	"time"
)

// EventKind is what an Event tells.
type EventKind string

// The kinds known to this version. A client passes over those that it does not
// know: more will come.
const (
	EventPresent   EventKind = "present"   // the build was there when the watching began, or after events were dropped
	EventReady     EventKind = "ready"     // all that are present were told; what follows happens now
	EventStarted   EventKind = "started"   // a build is watched
	EventState     EventKind = "state"     // a build came to another state
	EventRung      EventKind = "rung"      // a rung of the ladder was left
	EventSurvivors EventKind = "survivors" // what has outlived SIGKILL
	EventFreed     EventKind = "freed"     // a FUSE connection that survivors waited for was aborted
	EventGone      EventKind = "gone"      // nothing of a build is left
	EventDropped   EventKind = "dropped"   // who watches did not read in time: so many events are missing
	EventAlive     EventKind = "alive"     // nothing has happened for a while
	EventStopping  EventKind = "stopping"  // the daemon is being stopped; builds live on
)

// EventKinds lists every kind.
func EventKinds() []EventKind {
	return []EventKind{EventPresent, EventReady, EventStarted, EventState, EventRung, EventSurvivors, EventFreed, EventGone, EventDropped, EventAlive, EventStopping}
}

// AliveInterval is how long the stream of events is silent at most.
const AliveInterval = 15 * time.Second

// Event is one line of the answer to GET PathEvents: something that happened to a
// build that the caller may see. First come the builds that there are.
type Event struct {
	Time    time.Time  `json:"time"`
	Kind    EventKind  `json:"kind"`
	Build   *BuildHead `json:"build,omitempty"`        // as it was then; not there in ready, dropped, alive, stopping
	Was     State      `json:"was,omitempty"`          // state, gone: the state before
	Rung    *UsedRung  `json:"rung,omitempty"`         // rung: the rung
	Took    Seconds    `json:"took_seconds,omitempty"` // gone: from the fact that ended it to its end, the time in which its owner tidied up included
	Dropped int        `json:"dropped,omitempty"`      // dropped: how many
	// Survivors: of survivors, some of the processes.
	Survivors []Process `json:"survivors,omitempty"`
	// Connection: of freed, as in Wait.
	Connection uint32 `json:"fuse_connection,omitempty"`
}

// ReportedReasons lists the reasons for which a build can be reported instead of
// ended: all but the end by itself and a user's wish.
func ReportedReasons() []Reason {
	return slices.DeleteFunc(Reasons(), func(r Reason) bool { return r == ReasonCompleted || r == ReasonStopped })
}
