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
	FactOwner       FactName = "owner"
	FactWaiters     FactName = "waiters"
	FactRequest     FactName = "request"
	FactDirectory   FactName = "request_directory"
	FactConnections FactName = "request_connections"
	FactContainers  FactName = "containers"
	FactDeadline    FactName = "deadline"
	FactMaxRuntime  FactName = "max_runtime"
	FactLimits      FactName = "limits"
	FactMotion      FactName = "motion"
	FactSurvivors   FactName = "survivors"
	FactStop        FactName = "stop"
	FactPolicy      FactName = "policy"
)

var factNames = meanings[FactName]{
	{FactOwner, "the process that the build belongs to"},
	{FactWaiters, "the processes that wait for the owner"},
	{FactRequest, "of an API build: how its request stands, by the two below"},
	{FactDirectory, "of an API build: the directory of its request"},
	{FactConnections, "of an API build: the connections that the service had when the request was first seen"},
	{FactContainers, "processes of its RUN steps"},
	{FactDeadline, "the time of run --timeout"},
	{FactMaxRuntime, "the time that every build has, by the configuration"},
	{FactLimits, "of its scope: by the configuration, by its user, and those of the unit that it was started in"},
	{FactMotion, "of a stalled build: since when nothing of it has moved"},
	{FactSurvivors, "of a stuck build: how many processes have outlived SIGKILL"},
	{FactStop, "somebody has asked for its end"},
	{FactPolicy, "what is done with an abandoned build"},
}

// FactNames lists every fact.
func FactNames() []FactName { return factNames.words() }

// Meaning says for people what the fact is about.
func (n FactName) Meaning() string { return factNames.of(n) }

// FactSource is where a fact was read.
type FactSource string

// The sources known to this version.
const (
	SourcePidfd       FactSource = "pidfd"
	SourceInotify     FactSource = "inotify"
	SourceDescriptors FactSource = "descriptors"
	SourceCgroup      FactSource = "cgroup.events"
	SourceCounters    FactSource = "cpu.stat"
	SourceProc        FactSource = "/proc"
	SourceClock       FactSource = "clock"
	SourceConfig      FactSource = "configuration"
	SourceSystemd     FactSource = "systemd"
	SourceUser        FactSource = "user"
	SourceConclusions FactSource = "conclusion"
)

var factSources = meanings[FactSource]{
	{SourcePidfd, "the kernel's word on a process that is held"},
	{SourceInotify, "a watch on the directories of requests, and a look at each"},
	{SourceDescriptors, "a look at the service's open sockets"},
	{SourceCgroup, "the kernel's word on a cgroup"},
	{SourceCounters, "a cgroup's CPU time, and then the threads in /proc"},
	{SourceProc, "a look at processes"},
	{SourceClock, "CLOCK_MONOTONIC"},
	{SourceConfig, "the daemon's configuration"},
	{SourceSystemd, "the properties of units"},
	{SourceUser, "a request at the control socket"},
	{SourceConclusions, "other facts that are listed"},
}

// FactSources lists every source.
func FactSources() []FactSource { return factSources.words() }

// Meaning says for people what was read.
func (s FactSource) Meaning() string { return factSources.of(s) }

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
