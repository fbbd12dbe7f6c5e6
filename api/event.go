package api

import "time"

// EventKind is what an Event tells.
type EventKind string

// The kinds known to this version. A client passes over those that it does not
// know: more will come.
const (
	EventPresent   EventKind = "present"
	EventReady     EventKind = "ready"
	EventStarted   EventKind = "started"
	EventState     EventKind = "state"
	EventRung      EventKind = "rung"
	EventSurvivors EventKind = "survivors"
	EventFreed     EventKind = "freed"
	EventGone      EventKind = "gone"
	EventReclaimed EventKind = "reclaimed"
	EventDropped   EventKind = "dropped"
	EventAlive     EventKind = "alive"
	EventStopping  EventKind = "stopping"
)

var eventKinds = meanings[EventKind]{
	{EventPresent, "the build was there when the watching began, or after events were dropped"},
	{EventReady, "all that are there were told: what follows happens now"},
	{EventStarted, "a build is watched"},
	{EventState, "a build came to another state"},
	{EventRung, "a rung of the ladder was left"},
	{EventSurvivors, "a build is stuck: these processes have outlived SIGKILL, 16 of them at most"},
	{EventFreed, "a FUSE connection that survivors waited for was aborted"},
	{EventGone, "no process of a build is left"},
	{EventReclaimed, "what a build that is gone had left in storage was looked at, and removed where it is only that build's"},
	{EventDropped, "who watches did not read in time: so many events are missing"},
	{EventAlive, "nothing has happened for a while"},
	{EventStopping, "the daemon is being stopped; builds live on"},
}

// EventKinds lists every kind.
func EventKinds() []EventKind { return eventKinds.words() }

// Meaning says for people what has happened.
func (k EventKind) Meaning() string { return eventKinds.of(k) }

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
	// Reclaimed: of reclaimed, what was done.
	Reclaimed *Reclaimed `json:"reclaimed,omitempty"`
}

// Reclaimed is what became of what a dead build had left in storage: working containers,
// bundles, requests' directories.
type Reclaimed struct {
	Removed  int     `json:"removed"`
	Left     int     `json:"left"`
	Bytes    int64   `json:"bytes"` // on the disk, of what was removed
	Duration Seconds `json:"duration_seconds"`
	Why      string  `json:"why,omitempty"` // what is left was left, for people
}
