package api

// Plan answers POST PathPlan: what a stop would do to a build as it is now. None of it has been
// done.
type Plan struct {
	Build   BuildHead    `json:"build"`
	Actions []PlanAction `json:"actions"` // in the order of the ladder; never null
}

// ActionKind is what is done at a rung of the ladder, or before the first.
type ActionKind string

// The kinds known to this version.
const (
	ActionRefuseSteps      ActionKind = "refuse_steps"
	ActionAwaitStart       ActionKind = "await_start"
	ActionKillSteps        ActionKind = "kill_steps"
	ActionKillScope        ActionKind = "kill_scope"
	ActionKillAll          ActionKind = "kill_all"
	ActionKillInPlace      ActionKind = "kill_in_place"
	ActionGather           ActionKind = "gather"
	ActionTidy             ActionKind = "tidy"
	ActionTidySpared       ActionKind = "tidy_spared"
	ActionTerminateOwner   ActionKind = "terminate_owner"
	ActionTerminateCommand ActionKind = "terminate_command"
	ActionKillOwner        ActionKind = "kill_owner"
	ActionStopScope        ActionKind = "stop_scope"
	ActionStopEmpty        ActionKind = "stop_empty"
	ActionCgroupKill       ActionKind = "cgroup_kill"
	ActionAbortFUSE        ActionKind = "abort_fuse"
	ActionEndHelpers       ActionKind = "end_helpers"
)

var actionKinds = meanings[ActionKind]{
	{ActionRefuseSteps, "no RUN step runs, so nothing is sent: the owner's next one is refused"},
	{ActionAwaitStart, "containers that are being made may be started"},
	{ActionKillSteps, "the RUN steps are killed, the command is spared"},
	{ActionKillScope, "all in the scope is killed"},
	{ActionKillAll, "all in the scope is killed, and what of the build is elsewhere, by descriptor"},
	{ActionKillInPlace, "the RUN steps are killed where they are"},
	{ActionGather, "the processes are gathered into a scope, and killed there"},
	{ActionTidy, "the owner may tidy up"},
	{ActionTidySpared, "the owner may tidy up; it is never signalled"},
	{ActionTerminateOwner, "the owner is told to end, unless it has seen the end of its step"},
	{ActionTerminateCommand, "all of the command is told to end"},
	{ActionKillOwner, "the owner is killed, unless it has seen the end of its step"},
	{ActionStopScope, "the scope is stopped, with what is left in it"},
	{ActionStopEmpty, "the empty scope is stopped"},
	{ActionCgroupKill, "the kernel kills what is left"},
	{ActionAbortFUSE, "FUSE connections that what is left waits for are aborted, if they are the build's own"},
	{ActionEndHelpers, "fuse-overlayfs that served the storage is told to end"},
}

// ActionKinds lists every kind.
func ActionKinds() []ActionKind { return actionKinds.words() }

// Meaning says for people what is done.
func (k ActionKind) Meaning() string { return actionKinds.of(k) }

// PlanCondition is when an action of a plan is taken.
type PlanCondition string

// The conditions known to this version.
const (
	PlanAlways        PlanCondition = "always"
	PlanOwnerLives    PlanCondition = "owner_lives"
	PlanProcessesLeft PlanCondition = "processes_left"
)

var planConditions = meanings[PlanCondition]{
	{PlanAlways, "in any case"},
	{PlanOwnerLives, "if the owner has not ended by itself until then"},
	{PlanProcessesLeft, "if the actions before have left processes"},
}

// PlanConditions lists every condition.
func PlanConditions() []PlanCondition { return planConditions.words() }

// Meaning says for people when the action is taken.
func (c PlanCondition) Meaning() string { return planConditions.of(c) }

// PlanMeans is how an action is done.
type PlanMeans string

// The means known to this version.
const (
	MeansWait       PlanMeans = "wait"
	MeansPidfd      PlanMeans = "pidfd"
	MeansKillUnit   PlanMeans = "kill_unit"
	MeansStopUnit   PlanMeans = "stop_unit"
	MeansCgroupKill PlanMeans = "cgroup_kill"
	MeansFUSEAbort  PlanMeans = "fuse_abort"
)

var planMeans = meanings[PlanMeans]{
	{MeansWait, "nothing is sent"},
	{MeansPidfd, "a signal to each process, by pidfd"},
	{MeansKillUnit, "systemd's KillUnit on all of the unit"},
	{MeansStopUnit, "systemd's StopUnit"},
	{MeansCgroupKill, "the kernel's cgroup.kill"},
	{MeansFUSEAbort, "the end of FUSE connections"},
}

// AllPlanMeans lists every means.
func AllPlanMeans() []PlanMeans { return planMeans.words() }

// Meaning says for people how the action is done.
func (m PlanMeans) Meaning() string { return planMeans.of(m) }

// PlanAction is one thing that would be done.
type PlanAction struct {
	Kind      ActionKind    `json:"kind"`
	Rung      Rung          `json:"rung,omitempty"`   // the rung; not there before the first
	If        PlanCondition `json:"if"`               //
	Means     PlanMeans     `json:"means"`            //
	Signal    string        `json:"signal,omitempty"` // what the processes get
	On        string        `json:"on,omitempty"`     // the unit, or the cgroup below its mount
	Limit     Seconds       `json:"limit_seconds"`    // how long it may take
	Processes []PlanProcess `json:"processes"`        // whom it concerns, of those that are there now; never null
}

// PlanProcess is a process that a step concerns.
type PlanProcess struct {
	PID     int    `json:"pid"`
	Command string `json:"command"` // the kernel's comm
}
