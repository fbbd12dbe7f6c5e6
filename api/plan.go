package api

// Plan answers POST PathPlan: what a stop would do to a build as it is now.
// Nothing of it was done.
type Plan struct {
	Build   BuildHead    `json:"build"`
	Actions []PlanAction `json:"actions"` // in the order of the ladder; never null
}

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
	Rung      Rung          `json:"rung,omitempty"`   // the rung; not there before the first
	If        PlanCondition `json:"if"`               //
	Means     PlanMeans     `json:"means"`            //
	Signal    string        `json:"signal,omitempty"` // what the processes get
	On        string        `json:"on,omitempty"`     // the unit, or the cgroup below its mount
	Limit     Seconds       `json:"limit_seconds"`    // how long it may take
	Text      string        `json:"text"`             // for people
	Processes []PlanProcess `json:"processes"`        // whom it concerns, of those that are there now; never null
}

// PlanProcess is a process that a step concerns.
type PlanProcess struct {
	PID     int    `json:"pid"`
	Command string `json:"command"` // the kernel's comm
}
