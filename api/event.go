package api

import (
	"strconv"
	"time"
)

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
	EventShortage  EventKind = "shortage"
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
	{EventShortage, "a build was short of memory or tasks"},
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
	Connection uint32    `json:"fuse_connection,omitempty"`
	Shortage   *Shortage `json:"shortage,omitempty"` // shortage: of what
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

// Resource is what a build may be short of.
type Resource string

// The resources known to this version.
const (
	ResourceMemory Resource = "memory"
	ResourceTasks  Resource = "tasks"
)

var resources = meanings[Resource]{
	{ResourceMemory, "the kernel has killed processes of the build for want of memory"},
	{ResourceTasks, "the kernel has made no process or thread where one was wanted"},
}

// Resources lists every resource.
func Resources() []Resource { return resources.words() }

// Meaning says for people what it means to be short of it.
func (r Resource) Meaning() string { return resources.of(r) }

// Shortage is what a build was short of.
type Shortage struct {
	Resource Resource `json:"resource"`
	Count    uint64   `json:"count"`           // processes that were killed, or not made, since the build's scope is there
	Limit    string   `json:"limit,omitempty"` // of the scope that was met, such as "MemoryMax=64M"; empty for one elsewhere
}

// String says it for people.
func (s Shortage) String() string {
	what, where := "times no process or thread was made", "by a limit of a container, or of a slice"
	if s.Resource == ResourceMemory {
		what, where = "processes killed for want of memory", "by a limit of a container or a slice, or the host has no more"
	}
	if s.Limit != "" {
		where = s.Limit + " of the build's scope was reached"
	}
	return strconv.FormatUint(s.Count, 10) + " " + what + ": " + where
}
