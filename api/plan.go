package api

// Plan answers POST PathPlan: what a stop would do to a build as it is now.
// Nothing of it was done.
type Plan struct {
	Build   BuildHead    `json:"build"`
	Actions []PlanAction `json:"actions"` // in the order of the ladder; never null
}

// PlanCondition is when a step of a plan is taken.
type PlanCondition string

// The conditions known to this version.
const (
	PlanAlways        PlanCondition = "always"         // in any case
	PlanOwnerLives    PlanCondition = "owner_lives"    // if the owner has not ended by itself until then
	PlanProcessesLeft PlanCondition = "processes_left" // if the steps before have left processes
)

// PlanMeans is how a step is done.
type PlanMeans string

// The means known to this version.
const (
	MeansWait       PlanMeans = "wait"        // nothing is sent
	MeansPidfd      PlanMeans = "pidfd"       // a signal to each process, by descriptor
	MeansKillUnit   PlanMeans = "kill_unit"   // systemd's KillUnit on all of the unit
	MeansStopUnit   PlanMeans = "stop_unit"   // systemd's StopUnit
	MeansCgroupKill PlanMeans = "cgroup_kill" // the kernel's cgroup.kill
	MeansFUSEAbort  PlanMeans = "fuse_abort"  // the end of FUSE connections
)

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
