package api

import "time"

// Explanation says why a build is kept, or is being ended.
type Explanation struct {
	Verdict     string `json:"verdict"`      // what is done with the build, and why, for people
	ChangesWhen string `json:"changes_when"` // what would have to happen for that to change
	Facts       []Fact `json:"facts"`        // what is known of it; never null
}

// FactName is what a fact is about.
type FactName string

// The facts known to this version.
const (
	FactOwner       FactName = "owner"               // the process that the build belongs to
	FactWaiters     FactName = "waiters"             // the processes that wait for the owner
	FactRequest     FactName = "request"             // of an API build: how its request stands, by both witnesses
	FactDirectory   FactName = "request_directory"   // of an API build: the directory of its request
	FactConnections FactName = "request_connections" // of an API build: the service's connections
	FactContainers  FactName = "containers"          // processes of its RUN steps
	FactDeadline    FactName = "deadline"            // the time that its user gave it
	FactMaxRuntime  FactName = "max_runtime"         // the time that every build has
	FactMotion      FactName = "motion"              // whether anything of it has moved, if it hangs
	FactSurvivors   FactName = "survivors"           // what has outlived SIGKILL
	FactLimits      FactName = "limits"              // those of the unit that started it, which its scope has too
	FactStop        FactName = "stop"                // somebody has asked for its end
	FactPolicy      FactName = "policy"              // what is done with an abandoned build
)

// FactNames lists every fact.
func FactNames() []FactName {
	return []FactName{
		FactOwner, FactWaiters, FactRequest, FactDirectory, FactConnections, FactContainers,
		FactDeadline, FactMaxRuntime, FactLimits, FactMotion, FactSurvivors, FactStop, FactPolicy,
	}
}

// FactSource is where a fact was read.
type FactSource string

// The sources known to this version.
const (
	SourcePidfd       FactSource = "pidfd"         // the kernel's word on a process that is held
	SourceInotify     FactSource = "inotify"       // a watch on the directories of requests, and a look at each
	SourceDescriptors FactSource = "descriptors"   // a look at the service's open sockets
	SourceCgroup      FactSource = "cgroup.events" // the kernel's word on a cgroup
	SourceCounters    FactSource = "cpu.stat"      // a cgroup's CPU time, and then the threads in /proc
	SourceProc        FactSource = "/proc"         // a look at processes
	SourceClock       FactSource = "clock"         // CLOCK_MONOTONIC
	SourceConfig      FactSource = "configuration"
	SourceSystemd     FactSource = "systemd"    // the properties of units
	SourceUser        FactSource = "user"       // a request at the control socket
	SourceConclusions FactSource = "conclusion" // from other facts that are listed
)

// FactSources lists every source.
func FactSources() []FactSource {
	return []FactSource{
		SourcePidfd, SourceInotify, SourceDescriptors, SourceCgroup, SourceCounters, SourceProc, SourceClock, SourceConfig, SourceSystemd, SourceUser, SourceConclusions,
	}
}

// Decides is what a fact does to the verdict.
type Decides string

// A fact that decides nothing now has neither.
const (
	DecidesKeep Decides = "keep" // because of it the build is kept
	DecidesEnd  Decides = "end"  // because of it the build is over
)

// Fact is one thing that is known of a build.
type Fact struct {
	Name    FactName   `json:"fact"`
	Value   string     `json:"value"`             // for people
	Since   time.Time  `json:"since,omitzero"`    // when it became known, to this daemon; not there for what was read only now
	Source  FactSource `json:"source"`            //
	Decides Decides    `json:"decides,omitempty"` //
}
