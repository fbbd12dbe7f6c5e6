// Package api holds what travels over buildwatchd's control socket: the JSON
// documents, the states and reasons that they name, and the paths they are
// asked for at. It is shared by the daemon and its clients, imports nothing of
// either, and does no I/O.
//
// The JSON names are stable: programs read them (buildwatchctl list --json).
// A name is added, never changed or given another meaning.
package api

import (
	"cmp"
	"slices"
	"time"
)

// ControlSocket is where the daemon answers its control API: HTTP with JSON
// bodies over a unix stream socket.
const ControlSocket = "/run/buildwatch/control.sock"

// Paths of the control API. {id} is a build's ID or any unique prefix of it.
const (
	PathBuilds = "/v1/builds"           // GET: BuildList
	PathBuild  = "/v1/builds/{id}"      // GET: BuildDetail
	PathStop   = "/v1/builds/{id}/stop" // POST: Build, answered when it is gone or stuck
	PathPlan   = "/v1/builds/{id}/plan" // POST: Plan, of the stop that the same body would ask for
	PathEvents = "/v1/events"           // GET: Events, one a line, for as long as both sides are there
	PathInfo   = "/v1/info"             // GET: Info
	PathRun    = "/v1/run"              // POST: Build, answered when the caller is in its scope
)

// State is where a build stands in its life.
type State string

// A build goes through these from top to bottom, and may leave out any but the
// last. One that is running, stalled or unsure is left alone; a stalled or unsure one
// can become running again.
const (
	StateRunning     State = "running"     // its owner lives
	StateStalled     State = "stalled"     // its owner lives, but nothing of it can go on by itself
	StateUnsure      State = "unsure"      // whether anybody wants it can't be told, so it is kept
	StateAbandoned   State = "abandoned"   // nobody wants it any more; nothing was sent yet
	StateTerminating State = "terminating" // its containers were killed; its owner may tidy up
	StateKilling     State = "killing"     // systemd or the kernel was told to end all of it
	StateStuck       State = "stuck"       // something survived SIGKILL
	StateGone        State = "gone"        // no process of it is left
)

// States lists every state, in the order of a build's life.
func States() []State {
	return []State{StateRunning, StateStalled, StateUnsure, StateAbandoned, StateTerminating, StateKilling, StateStuck, StateGone}
}

// Reason is why a build came to its end.
type Reason string

// The reasons known to this version.
const (
	ReasonCompleted          Reason = "completed"           // the owner ended and nothing was left
	ReasonOwnerExited        Reason = "owner_exited"        // the owner ended while RUN containers lived
	ReasonClientDisconnected Reason = "client_disconnected" // the client of an API build is gone, its RUN containers lived
	ReasonStopped            Reason = "stopped"             // a user asked for it
	ReasonDeadline           Reason = "deadline"            // the time that it was given is over
	ReasonStalled            Reason = "stalled"             // it was stalled for longer than is allowed
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{ReasonCompleted, ReasonOwnerExited, ReasonClientDisconnected, ReasonStopped, ReasonDeadline, ReasonStalled}
}

// Placement is how a build is held.
type Placement string

// The placements known to this version.
const (
	PlacementScope    Placement = "scope"    // its RUN containers are born in its own scope
	PlacementObserved Placement = "observed" // none came through the wrapper: watched where they are
)

// Placements lists every placement.
func Placements() []Placement { return []Placement{PlacementScope, PlacementObserved} }

// Mode is the way a build was started.
type Mode string

// The modes known to this version.
const (
	ModeLocal   Mode = "local"   // a podman or buildah process on this host
	ModeAPI     Mode = "api"     // a request to `podman system service`
	ModeRun     Mode = "run"     // a command of `buildwatchctl run`, all of it in the build's scope
	ModeUnknown Mode = "unknown" // neither can be told
)

// Modes lists every mode.
func Modes() []Mode { return []Mode{ModeLocal, ModeAPI, ModeRun, ModeUnknown} }

// Rung is one rung of the kill ladder.
type Rung string

// The rungs, in the order in which they are used.
const (
	RungKill       Rung = "kill"        // KillUnit SIGKILL on the scope
	RungOwner      Rung = "owner"       // an owner told to stop that does not end: SIGTERM, SIGKILL
	RungStop       Rung = "stop"        // StopUnit on the scope, its job awaited
	RungCgroupKill Rung = "cgroup_kill" // the kernel's cgroup.kill
	RungSurvivors  Rung = "survivors"   // the FUSE connections that what is left waits for, if they are the build's own
	RungHelpers    Rung = "helpers"     // fuse-overlayfs of the build's storage, where its owner is dead
)

// Rungs lists every rung, in the order in which they are used.
func Rungs() []Rung {
	return []Rung{RungKill, RungOwner, RungStop, RungCgroupKill, RungSurvivors, RungHelpers}
}

// Owner is the process that a build belongs to.
type Owner struct {
	PID     int    `json:"pid"`     // as seen by the daemon
	Command string `json:"command"` // program and verb only, such as "podman build"; never its arguments
	Exited  bool   `json:"exited"`  // it is no longer there
}

// User is whose build it is, by the kernel's word.
type User struct {
	UID  uint32 `json:"uid"`
	Name string `json:"name"` // empty where the host has no name for the UID
}

// BuildHead is what is known of a build without a look at its processes: what an event
// says of it, and by what it is found.
type BuildHead struct {
	ID         string    `json:"id"`
	Name       string    `json:"name,omitempty"` // given by who started it, see RunRequest
	State      State     `json:"state"`
	StateSince time.Time `json:"state_since,omitzero"` // when it came to that state, or was found in it
	Reason     Reason    `json:"reason,omitempty"`     // set once the build is no longer running
	Reported   bool      `json:"reported,omitempty"`   // abandoned, and by the policy only reported: nothing is sent
	Mode       Mode      `json:"mode"`
	Placement  Placement `json:"placement"`
	CreatedAt  time.Time `json:"created_at"`        // first RUN step; of ModeRun, its start
	EndedAt    time.Time `json:"ended_at,omitzero"` // last process gone
	Owner      Owner     `json:"owner"`
	User       User      `json:"user"`
	Scope      string    `json:"scope"` // unit name; empty for an observed build, until its orphans are gathered

	// StalledSince is since when nothing of the build has moved; set while it is stalled.
	StalledSince time.Time `json:"stalled_since,omitzero"`
}

// Build is one build as `buildwatchctl list` shows it.
type Build struct {
	BuildHead
	Arch       []string `json:"arch"`        // emulated architectures running now, such as "aarch64"; never null
	Processes  int      `json:"processes"`   // of its RUN containers, now; of ModeRun, of all of it
	CPUSeconds float64  `json:"cpu_seconds"` // likewise, so far
	Cgroup     string   `json:"cgroup"`      // path below the cgroup mount, with a leading slash
}

// Wanted tells whether somebody may still want the build's outcome.
func (s State) Wanted() bool {
	return s == StateRunning || s == StateStalled || s == StateUnsure
}

// Live tells whether anything of the build may still be there.
func (b BuildHead) Live() bool { return b.State != StateGone }

// Process is one process of a build.
type Process struct {
	PID      int    `json:"pid"`
	PPID     int    `json:"ppid"`
	Command  string `json:"command"`         // the kernel's comm: the guest program's name under emulation
	Exe      string `json:"exe,omitempty"`   // the emulator under emulation; empty where it can't be read
	Arch     string `json:"arch,omitempty"`  // emulated architecture; empty for native
	State    string `json:"state"`           // one letter, as in proc_pid_stat(5); "?" where it can't be read
	WChan    string `json:"wchan,omitempty"` // the kernel function it sleeps in
	Cgroup   string `json:"cgroup"`          // path below the cgroup mount
	Survivor bool   `json:"survivor"`        // it outlived the whole ladder

	// Of a survivor only:
	Since time.Time `json:"since,omitzero"`  // when it was first seen to have outlived SIGKILL
	Stack []string  `json:"stack,omitempty"` // its kernel stack, innermost first, where the daemon may read it
	Waits []Wait    `json:"waits,omitempty"` // what it waits for; several where it can't be told which
}

// Wait is what a survivor waits for, as far as that can be told.
type Wait struct {
	File   string `json:"file,omitempty"`   // the open file of its system call, as the process would call it
	Mount  string `json:"mount,omitempty"`  // mount point, likewise
	FSType string `json:"fstype,omitempty"` // such as "fuse.sshfs", "nfs4"

	// Of a FUSE mount only:
	Connection uint32 `json:"fuse_connection,omitempty"` // its number in /sys/fs/fuse/connections
	Requests   int    `json:"fuse_requests,omitempty"`   // that were sent and not answered
	Servers    []int  `json:"fuse_servers,omitempty"`    // PIDs of those that hold its device
	Abort      Abort  `json:"fuse_abort,omitempty"`      // what was done about the connection
	AbortPID   int    `json:"fuse_abort_pid,omitempty"`  // the process that spoke against an abort
}

// Abort is what was done about the FUSE connection that a survivor waits for.
type Abort string

// The outcomes known to this version.
const (
	AbortDone      Abort = "aborted"    // it was aborted
	AbortLater     Abort = "later"      // it will be, when its requests have waited for a second
	AbortOff       Abort = "off"        // the configuration says never
	AbortNoControl Abort = "no_control" // /sys/fs/fuse/connections is not mounted
	AbortNotNeeded Abort = "not_needed" // no request is waiting
	AbortMounter   Abort = "mounter"    // another user has mounted it
	AbortServer    Abort = "server"     // it is served by who is not the build's
	AbortUsed      Abort = "used"       // somebody else uses it
	AbortUnsure    Abort = "unsure"     // whose it is could not be found out
)

// Aborts lists every outcome.
func Aborts() []Abort {
	return []Abort{AbortDone, AbortLater, AbortOff, AbortNoControl, AbortNotNeeded, AbortMounter, AbortServer, AbortUsed, AbortUnsure}
}

// UsedRung is one rung as it was used on a build.
type UsedRung struct {
	Rung      Rung      `json:"rung"`
	StartedAt time.Time `json:"started_at"`
	Duration  Seconds   `json:"duration_seconds"`
	TimedOut  bool      `json:"timed_out"`       // processes were left when its time was over
	Survivors int       `json:"survivors"`       // processes of the build that were left when it ended
	Error     string    `json:"error,omitempty"` // what systemd or the kernel answered, if not success
}

// BuildDetail is everything that is known of one build.
type BuildDetail struct {
	Build
	ProcessTree []Process `json:"process_tree"` // RUN containers' processes, parents before children; never null
	// ProcessesOmitted is how many more there are than ProcessTree shows: it has a bound.
	ProcessesOmitted int        `json:"processes_omitted,omitempty"`
	Ladder           []UsedRung `json:"ladder"` // rungs used so far; never null
	Explanation
}

// BuildList answers GET PathBuilds: the builds that the caller may see, oldest
// first. Builds is never null.
type BuildList struct {
	Builds []Build `json:"builds"`
}

// MaxOwnerTimeout is the longest OwnerTimeout that may be asked for.
const MaxOwnerTimeout = time.Hour

// StopRequest is the optional body of POST PathStop.
type StopRequest struct {
	// OwnerTimeout is how long a living owner may take to tidy up after its
	// containers were killed, before it is told to end. Not there means as configured.
	OwnerTimeout *Seconds `json:"owner_timeout_seconds,omitempty"`
}

// RunRequest is the body of POST PathRun: the caller's own process is to become
// a build's client, in a scope of its own. Who that is, is the kernel's to say.
type RunRequest struct {
	Name       string   `json:"name,omitempty"`       // see package limits
	Properties []string `json:"properties,omitempty"` // NAME=VALUE, see package limits
	// Timeout is the build's deadline, from its start; 0 means none. It is another
	// way to say RuntimeMaxSec: only one may be given.
	Timeout Seconds `json:"timeout_seconds,omitempty"`
}

// RunTimeout is how long the daemon may take to place the caller of POST PathRun.
const RunTimeout = 1500 * time.Millisecond

// Info answers GET PathInfo.
type Info struct {
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Host      *Host     `json:"host,omitempty"` // not there before it is found, soon after the start
	// ConfigSource is where the configuration in force comes from: "files"; while one of
	// them is bad "last_good", or "cautious" where no good one was kept.
	ConfigSource string `json:"config_source,omitempty"`
	// ConfigProblem says what is wrong with the files; empty where nothing is.
	ConfigProblem string `json:"config_problem,omitempty"`
}

// ErrorCode tells a program what went wrong; Error.Message tells a person.
type ErrorCode string

// The codes of the control API.
const (
	CodeNotFound   ErrorCode = "not_found"   // 404: no such build, or none that the caller may see
	CodeAmbiguous  ErrorCode = "ambiguous"   // 409: the prefix fits several builds
	CodeBadRequest ErrorCode = "bad_request" // 400
	CodeRefused    ErrorCode = "refused"     // 403: the caller may not have what it asked for
	CodePart       ErrorCode = "part"        // 409: the caller is part of a build already, and watched with it
	CodeBusy       ErrorCode = "busy"        // 429: too many connections, or builds, of this user
	CodeInternal   ErrorCode = "internal"    // 500
)

// Error is the body of every answer that is no success.
type Error struct {
	Code    ErrorCode `json:"code"`
	Message string    `json:"message"`
}

func (e *Error) Error() string { return e.Message }

// SortBuilds sorts builds by age, oldest first.
func SortBuilds(builds []Build) {
	slices.SortFunc(builds, func(a, b Build) int { return a.Compare(b.BuildHead) })
}

// Compare orders builds by age, oldest first.
func (b BuildHead) Compare(other BuildHead) int {
	return cmp.Or(b.CreatedAt.Compare(other.CreatedAt), cmp.Compare(b.ID, other.ID))
}
