package api

import "time"

// Explanation says why a build is kept, or is being ended.
type Explanation struct {
	Verdict Verdict `json:"verdict"`
	// Doing is what is being done to end the build; not there while nothing is.
	Doing ActionKind `json:"doing,omitempty"`
	// ChangesWhen is what would change the verdict, any of it. Never null; empty where
	// nothing calls the end back.
	ChangesWhen []Change `json:"changes_when"`
	Facts       []Fact   `json:"facts"` // what is known of it; never null
}

// Verdict is what is done with a build, and why.
type Verdict string

// The verdicts known to this version.
const (
	VerdictOwnerLives    Verdict = "owner_lives"
	VerdictRequestLives  Verdict = "request_lives"
	VerdictRequestUnsure Verdict = "request_unsure"
	VerdictBuilderLives  Verdict = "builder_lives"
	VerdictOwnerUnknown  Verdict = "owner_unknown"
	VerdictHangs         Verdict = "hangs"
	VerdictReported      Verdict = "reported"
	VerdictRefusing      Verdict = "refusing"
	VerdictRefused       Verdict = "refused"
	VerdictEnding        Verdict = "ending"
	VerdictStuck         Verdict = "stuck"
	VerdictGone          Verdict = "gone"
)

var verdicts = meanings[Verdict]{
	{VerdictOwnerLives, "it is kept, because its owner lives"},
	{VerdictRequestLives, "it is kept, because its API request is not over"},
	{VerdictRequestUnsure, "it is kept, because it can't be told whether its API request is over"},
	{VerdictBuilderLives, "it is kept, because its builder lives, and nobody saw whether it is that build's or of a step that is over"},
	{VerdictOwnerUnknown, "it is kept, because nobody saw whom it belongs to"},
	{VerdictHangs, "it is kept, because its owner lives, though it hangs: nothing of it can go on by itself"},
	{VerdictReported, "it is over and would be ended, but is only reported: nothing is sent to it"},
	{VerdictRefusing, "it is to end"},
	{VerdictRefused, "it is to end: a RUN step of it was refused, and its owner gets no signal while none runs"},
	{VerdictEnding, "it is being ended"},
	{VerdictStuck, "it was ended, and something has survived SIGKILL: there is nothing more to send"},
	{VerdictGone, "nothing of it is left"},
}

// Verdicts lists every verdict.
func Verdicts() []Verdict { return verdicts.words() }

// Meaning says for people what is done, and why.
func (v Verdict) Meaning() string { return verdicts.of(v) }

// Change is something that would change a verdict.
type Change string

// The changes known to this version.
const (
	ChangeOwnerEnds    Change = "owner_ends"
	ChangeRequestEnds  Change = "request_ends"
	ChangeServiceEnds  Change = "service_ends"
	ChangeRequestTold  Change = "request_told"
	ChangeBuilderEnds  Change = "builder_ends"
	ChangeGoesOn       Change = "goes_on"
	ChangeCompletes    Change = "completes"
	ChangeStepBegins   Change = "step_begins"
	ChangeProcessesEnd Change = "processes_end"
	ChangeDeadline     Change = "deadline"
	ChangeMaxRuntime   Change = "max_runtime"
	ChangeStop         Change = "stop"
	ChangePolicy       Change = "policy"
	ChangeKernel       Change = "kernel"
	ChangeFreed        Change = "freed"
)

var changes = meanings[Change]{
	{ChangeOwnerEnds, "its owner, or a process that waits for it, ends"},
	{ChangeRequestEnds, "its request ends: its client goes and its directory is removed, or all connections that may be its own are closed"},
	{ChangeServiceEnds, "the API service ends"},
	{ChangeRequestTold, "it can be told: all connections, or all requests, that may be its own are over"},
	{ChangeBuilderEnds, "the builder ends"},
	{ChangeGoesOn, "something of it goes on"},
	{ChangeCompletes, "the owner completes the build"},
	{ChangeStepBegins, "another RUN step of it begins, which fails"},
	{ChangeProcessesEnd, "its processes end by themselves"},
	{ChangeDeadline, "the time that its user gave it is over"},
	{ChangeMaxRuntime, "max_runtime is over"},
	{ChangeStop, "somebody runs buildwatchctl stop"},
	{ChangePolicy, "buildwatchd is given another policy"},
	{ChangeKernel, "the kernel lets go of what is left"},
	{ChangeFreed, "what that waits for becomes the build's alone, and is ended: see ladder.abort_fuse"},
}

// Changes lists every change.
func Changes() []Change { return changes.words() }

// Meaning says for people what would have to happen.
func (c Change) Meaning() string { return changes.of(c) }

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
	FactMemory      FactName = "memory"
	FactTasks       FactName = "tasks"
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
	{FactMemory, "processes were killed for want of memory"},
	{FactTasks, "processes or threads could not be made"},
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
	SourceShortages   FactSource = "memory.events, pids.events"
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
	{SourceShortages, "the kernel's counts of what a cgroup did not get"},
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

// FactValue is what is known, or that nothing is.
type FactValue string

// The values known to this version.
const (
	ValueLives      FactValue = "lives"
	ValueEnded      FactValue = "ended"
	ValueUnseen     FactValue = "unseen"
	ValueWaits      FactValue = "waits"
	ValueServed     FactValue = "served"
	ValueThere      FactValue = "there"
	ValueGone       FactValue = "gone"
	ValueNone       FactValue = "none"
	ValueUnknown    FactValue = "unknown"
	ValueAhead      FactValue = "ahead"
	ValueOver       FactValue = "over"
	ValueBeforehand FactValue = "beforehand"
	ValueSet        FactValue = "set"
	ValueShort      FactValue = "short"
	ValueHangs      FactValue = "hangs"
	ValueOutlived   FactValue = "outlived"
	ValueAsked      FactValue = "asked"
	ValueEnds       FactValue = "ends"
	ValueReports    FactValue = "reports"
)

var factValues = meanings[FactValue]{
	{ValueLives, "the process `pids`, which runs `command`, lives"},
	{ValueEnded, "it has ended; of waiters, one has, before the owner"},
	{ValueUnseen, "nobody saw who started the build"},
	{ValueWaits, "the processes `pids` wait for the owner"},
	{ValueServed, "the request is served"},
	{ValueThere, "`path`, or so many processes as `count`, is there"},
	{ValueGone, "`path` is gone; or `count` of the `of` that may be its own are"},
	{ValueNone, "there is none"},
	{ValueUnknown, "it can't be told, or is not known: see `doubt` and `error`"},
	{ValueAhead, "the time is over `at`"},
	{ValueOver, "it is over"},
	{ValueBeforehand, "the build was to end for that before buildwatchd was restarted"},
	{ValueSet, "see `limits`"},
	{ValueShort, "see `shortage`"},
	{ValueHangs, "nothing of the build has moved, and every thread of its emulated processes waits for another"},
	{ValueOutlived, "`count` processes have outlived SIGKILL"},
	{ValueAsked, "`uid` has asked for it"},
	{ValueEnds, "abandoned builds are ended"},
	{ValueReports, "abandoned builds are only reported"},
}

// FactValues lists every value.
func FactValues() []FactValue { return factValues.words() }

// Meaning says what the value says, by the names of a fact's other members.
func (v FactValue) Meaning() string { return factValues.of(v) }

// Doubt is why it can't be told whether an API request is over.
type Doubt string

// The doubts known to this version.
const (
	DoubtDirectory Doubt = "directory"
	DoubtSeveral   Doubt = "several"
	DoubtPartial   Doubt = "partial"
	DoubtClient    Doubt = "client"
)

var doubts = meanings[Doubt]{
	{DoubtDirectory, "its directory is not known"},
	{DoubtSeveral, "it is one of several, and not all are over"},
	{DoubtPartial, "its directory is gone, and not all connections can be looked at"},
	{DoubtClient, "its directory is gone, and no client has gone with it: that was a cleaner, or its client is still connected"},
}

// Doubts lists every doubt.
func Doubts() []Doubt { return doubts.words() }

// Meaning says for people why it can't be told.
func (d Doubt) Meaning() string { return doubts.of(d) }

// Fact is one thing that is known of a build. Which members it has depends on its value.
type Fact struct {
	Name     FactName   `json:"fact"`
	Value    FactValue  `json:"value"`
	PIDs     []int      `json:"pids,omitempty"`
	Command  string     `json:"command,omitempty"`
	UID      *uint32    `json:"uid,omitempty"`
	Path     string     `json:"path,omitempty"`
	Count    *int       `json:"count,omitempty"`
	Of       int        `json:"of,omitempty"`
	Partial  bool       `json:"partial,omitempty"` // there may be more that can't be looked at
	At       time.Time  `json:"at,omitzero"`
	Limits   *Limits    `json:"limits,omitempty"`
	Shortage *Shortage  `json:"shortage,omitempty"`
	Doubt    Doubt      `json:"doubt,omitempty"`
	Error    string     `json:"error,omitempty"`
	Since    time.Time  `json:"since,omitzero"`    // when it became known, to this daemon; not there for what was read only now
	Source   FactSource `json:"source"`            //
	Decides  Decides    `json:"decides,omitempty"` //
}

// Limits are those of a build's scope, by who has set them. Of several for one property
// the smallest holds.
type Limits struct {
	Configuration []string `json:"configuration,omitempty"` // as PROPERTY=VALUE
	User          []string `json:"user,omitempty"`          // likewise
	Unit          []string `json:"unit,omitempty"`          // properties of the units that it was started in
	Units         []string `json:"units,omitempty"`         // those units
}
