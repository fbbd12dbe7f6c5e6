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
	PathConfig = "/v1/config"           // GET: Config
	PathRun    = "/v1/run"              // POST: Build, answered when the caller is in its scope
)

// Owner is the process that a build belongs to.
type Owner struct {
	PID     int    `json:"pid"`     // as seen by the daemon
	Command string `json:"command"` // program and verb only, such as "podman build"; never its arguments
	Exited  bool   `json:"exited"`  // it is no longer there
	// Unit is the systemd unit that it was started in, if any: that of a CI runner, a
	// timer's service, a session.
	Unit string `json:"unit,omitempty"`
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
	Refusing   bool      `json:"refusing,omitempty"`   // to end, and no RUN step runs: its owner gets no signal, its next step is refused
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
	Arch       []string `json:"arch"`        // emulated architectures running now, such as "aarch64", by a look of the last moments; never null
	Processes  int      `json:"processes"`   // of its RUN containers, now; of ModeRun, of all of it
	CPUSeconds float64  `json:"cpu_seconds"` // likewise, so far
	// MemoryBytes is what its scope holds now, the page cache of its files included; not
	// there where the kernel does not say.
	MemoryBytes uint64 `json:"memory_bytes,omitempty"`
	IO          *IO    `json:"io,omitempty"` // of its scope, so far; likewise
	Cgroup      string `json:"cgroup"`       // path below the cgroup mount, with a leading slash
}

// IO is what processes have read from disks and written to them.
type IO struct {
	ReadBytes    uint64 `json:"read_bytes"`
	WrittenBytes uint64 `json:"written_bytes"`
}

// Live reports whether anything of the build may still be there.
func (b BuildHead) Live() bool { return b.State != StateGone }

// Process is one process of a build.
type Process struct {
	PID      int    `json:"pid"`
	PPID     int    `json:"ppid"`
	Command  string `json:"command"`            // the kernel's comm: the guest program's name under emulation
	Exe      string `json:"exe,omitempty"`      // the emulator under emulation; empty where it can't be read
	Arch     string `json:"arch,omitempty"`     // emulated architecture; empty for native
	Emulator string `json:"emulator,omitempty"` // "qemu" or "rosetta"; empty for native
	State    string `json:"state"`              // one letter, as in proc_pid_stat(5); "?" where it can't be read
	WChan    string `json:"wchan,omitempty"`    // the kernel function it sleeps in
	Cgroup   string `json:"cgroup"`             // path below the cgroup mount
	Survivor bool   `json:"survivor"`           // it outlived the whole ladder

	// Of a survivor only:
	Since time.Time `json:"since,omitzero"`  // when it was first seen to have outlived SIGKILL
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
	End *Ended `json:"end,omitempty"` // of one that has ended, as the journal has it
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

// RunRequest is the body of POST PathRun: the caller's own process is to become a build's
// command, in a scope of its own. Who the caller is, the kernel says.
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
	// NoJournal: the daemon's log does not go to the journal, so ended builds are kept nowhere.
	NoJournal bool `json:"no_journal,omitempty"`
}

// Config answers GET PathConfig: the configuration in force.
type Config struct {
	Source   string        `json:"source"`              // as Info.ConfigSource
	Problem  string        `json:"problem,omitempty"`   // as Info.ConfigProblem
	LoadedAt *time.Time    `json:"loaded_at,omitempty"` // when its files were read; not there where they are bad
	Reads    int           `json:"reads"`               // how often its files were read since the daemon was started
	Values   []ConfigValue `json:"values"`              // never null
}

// ConfigValue is one key of it.
type ConfigValue struct {
	Key    string `json:"key"`    // with dots, such as "ladder.kill_timeout"
	Value  string `json:"value"`  // as TOML
	Origin string `json:"origin"` // "default", or file and line
}

// ErrorCode tells a program what went wrong; Error.Message tells a person.
type ErrorCode string

// The codes of the control API.
const (
	CodeNotFound   ErrorCode = "not_found"
	CodeAmbiguous  ErrorCode = "ambiguous"
	CodeBadRequest ErrorCode = "bad_request"
	CodeRefused    ErrorCode = "refused"
	CodePart       ErrorCode = "part"
	CodeBusy       ErrorCode = "busy"
	CodeInternal   ErrorCode = "internal"
)

var errorCodes = meanings[ErrorCode]{
	{CodeNotFound, "404: no such build, or none that the caller may see"},
	{CodeAmbiguous, "409: the prefix fits several builds"},
	{CodeBadRequest, "400: the request can't be understood, or asks for what there is not"},
	{CodeRefused, "403: the caller may not have what it asked for"},
	{CodePart, "409: the caller is part of a build already, and watched with it"},
	{CodeBusy, "429: too many connections, or builds, of this user"},
	{CodeInternal, "500: buildwatchd, the kernel or systemd has failed"},
}

// ErrorCodes lists every code.
func ErrorCodes() []ErrorCode { return errorCodes.words() }

// Meaning says for people what went wrong, after the HTTP status that comes with it.
func (c ErrorCode) Meaning() string { return errorCodes.of(c) }

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
