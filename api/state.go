package api

import "slices"

// State is where a build stands in its life.
type State string

// A build goes through these from top to bottom, and may leave out any but the
// last. One that is running, stalled or unsure is left alone; a stalled or unsure one
// can become running again.
const (
	StateRunning     State = "running"
	StateStalled     State = "stalled"
	StateUnsure      State = "unsure"
	StateAbandoned   State = "abandoned"
	StateTerminating State = "terminating"
	StateKilling     State = "killing"
	StateStuck       State = "stuck"
	StateGone        State = "gone"
)

var states = meanings[State]{
	{StateRunning, "somebody wants it: its owner lives"},
	{StateStalled, "its owner lives, but all of it hangs and can't go on by itself; it is kept, unless the policy for stalled builds is to end them"},
	{StateUnsure, "whether anybody wants it can't be told; it is kept"},
	{StateAbandoned, "nobody wants it any more, and nothing was sent yet; nothing will be if the policy is to report, or while no RUN step runs: then its next step is refused"},
	{StateTerminating, "its containers were killed; an owner that lives may tidy up"},
	{StateKilling, "systemd, then the kernel, was told to end all of it"},
	{StateStuck, "something survived SIGKILL; it is looked at again and again"},
	{StateGone, "no process of it is left; it is no longer listed"},
}

var advice = meanings[State]{
	{StateRunning, "buildwatchctl stop ends it cleanly"},
	{StateStalled, "buildwatchctl show says what hangs, buildwatchctl stop ends it"},
	{StateUnsure, "buildwatchctl show says what is not known, buildwatchctl stop ends it"},
	{StateAbandoned, "buildwatchctl stop ends it if the policy is to report; while no RUN step runs, wait for the next one, which is refused, or for its end; else it lasts for milliseconds"},
	{StateTerminating, "wait: it takes seconds at most"},
	{StateKilling, "wait: it takes seconds at most"},
	{StateStuck, "buildwatchctl show names each process, and what it waits for: make that answer, or end it"},
	{StateGone, "buildwatchctl history has its end"},
}

// States lists every state, in the order of a build's life.
func States() []State { return states.words() }

// Meaning says for people what a state means. It is "" for one of a later version, as are
// the meanings of all other words.
func (s State) Meaning() string { return states.of(s) }

// Advice says for people what they can do about a build in that state, by which verbs of
// buildwatchctl.
func (s State) Advice() string { return advice.of(s) }

// Wanted reports whether somebody may still want the build's outcome.
func (s State) Wanted() bool {
	return s == StateRunning || s == StateStalled || s == StateUnsure
}

// Reason is why a build came to its end.
type Reason string

// The reasons known to this version.
const (
	ReasonCompleted          Reason = "completed"
	ReasonOwnerExited        Reason = "owner_exited"
	ReasonClientDisconnected Reason = "client_disconnected"
	ReasonStopped            Reason = "stopped"
	ReasonDeadline           Reason = "deadline"
	ReasonStalled            Reason = "stalled"
	ReasonOutOfMemory        Reason = "out_of_memory"
	ReasonOutOfTasks         Reason = "out_of_tasks"
)

var reasons = meanings[Reason]{
	{ReasonCompleted, "the owner ended, and no container was left"},
	{ReasonOwnerExited, "the owner ended while containers lived"},
	{ReasonClientDisconnected, "the client of an API build is gone, while its containers lived"},
	{ReasonStopped, "somebody asked for it, by stop, or by Ctrl+C, SIGTERM or SIGHUP at run"},
	{ReasonDeadline, "its time is over: that of run --timeout, or policy.max_runtime"},
	{ReasonStalled, "it was stalled for longer than stalled.kill_after, and the policy is to end such builds"},
	{ReasonOutOfMemory, "the owner ended, and no container was left, after the kernel had killed a process of the last step for want of memory; or the kernel killed the command of run"},
	{ReasonOutOfTasks, "the owner ended, and no container was left, after the last step could not have all the processes that it wanted"},
}

// Reasons lists every reason.
func Reasons() []Reason { return reasons.words() }

// Meaning says for people what has happened.
func (r Reason) Meaning() string { return reasons.of(r) }

// ByItself reports whether nobody has ended the build.
func (r Reason) ByItself() bool {
	return r == ReasonCompleted || r == ReasonOutOfMemory || r == ReasonOutOfTasks
}

// ReportedReasons lists the reasons for which a build can be reported instead of
// ended: all but the end by itself and a user's wish.
func ReportedReasons() []Reason {
	return slices.DeleteFunc(Reasons(), func(r Reason) bool { return r.ByItself() || r == ReasonStopped })
}

// Placement is how a build is held.
type Placement string

// The placements known to this version.
const (
	PlacementScope    Placement = "scope"
	PlacementObserved Placement = "observed"
)

var placements = meanings[Placement]{
	{PlacementScope, "its RUN containers are born in a scope of its own"},
	{PlacementObserved, "none was born in a scope of its own: its processes are watched where they are"},
}

// Placements lists every placement.
func Placements() []Placement { return placements.words() }

// Meaning says for people how the build is held.
func (p Placement) Meaning() string { return placements.of(p) }

// Mode is the way a build was started.
type Mode string

// The modes known to this version.
const (
	ModeLocal   Mode = "local"
	ModeAPI     Mode = "api"
	ModeRun     Mode = "run"
	ModeUnknown Mode = "unknown"
)

var modes = meanings[Mode]{
	{ModeLocal, "a podman or buildah process on this host"},
	{ModeAPI, "a request to podman system service"},
	{ModeRun, "a command of buildwatchctl run, all of it in the build's scope"},
	{ModeUnknown, "it can't be told"},
}

// Modes lists every mode.
func Modes() []Mode { return modes.words() }

// Meaning says for people how the build was started.
func (m Mode) Meaning() string { return modes.of(m) }

// Rung is one rung of the kill ladder.
type Rung string

// The rungs, in the order in which they are used.
const (
	RungKill       Rung = "kill"
	RungOwner      Rung = "owner"
	RungStop       Rung = "stop"
	RungCgroupKill Rung = "cgroup_kill"
	RungSurvivors  Rung = "survivors"
	RungHelpers    Rung = "helpers"
)

var rungs = meanings[Rung]{
	{RungKill, "SIGKILL to the containers: to all of the scope through systemd, or, where the owner is inside too, to the containers' cgroups alone; of an observed build to each process by pidfd while its owner lives, else to the scope that they are gathered into"},
	{RungOwner, "nothing, then SIGHUP to podman and SIGTERM to others, then SIGKILL to an owner that lives after a stop or a deadline and has not seen the end of its step, or that nobody waits for any more; an API service gets only the time"},
	{RungStop, "the scope is stopped through systemd, which is also how an empty one is put away"},
	{RungCgroupKill, "the kernel's own kill of the scope's cgroup (cgroup.kill): whatever is in there, and whatever it forks"},
	{RungSurvivors, "the FUSE connections that what is left waits for are aborted, where they are the build's own"},
	{RungHelpers, "SIGTERM, then SIGKILL to the fuse-overlayfs that served a rootless build's storage, if its owner is dead and nobody uses what it serves"},
}

// Rungs lists every rung, in the order in which they are used.
func Rungs() []Rung { return rungs.words() }

// Meaning says for people what is done on that rung, and to whom.
func (r Rung) Meaning() string { return rungs.of(r) }
