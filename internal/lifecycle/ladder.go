package lifecycle

import (
	"context"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// Timeouts bound the rungs of the ladder.
type Timeouts struct {
	Kill       time.Duration // KillUnit, until the scope is empty
	Owner      time.Duration // a living owner's time to tidy up
	OwnerTerm  time.Duration // after SIGTERM, and again after SIGKILL, to the owner
	Stop       time.Duration // StopUnit, its job included
	CgroupKill time.Duration // cgroup.kill, until the scope is empty
	Survivors  time.Duration // freeing what is left, until the scope is empty
	Helpers    time.Duration // the storage's helper processes, SIGTERM until SIGKILL
}

// Times are the timeouts of every host's ladder, but for three that depend on how fast
// its disks, its systemd and its builds' owners are.
func Times(kill, owner, stop time.Duration) Timeouts {
	return Timeouts{
		Kill: kill, Owner: owner, Stop: stop,
		OwnerTerm: 500 * time.Millisecond, CgroupKill: 500 * time.Millisecond, Survivors: 500 * time.Millisecond, Helpers: 200 * time.Millisecond,
	}
}

// startTime is how long a living owner may take to start containers that are being
// made, before they are killed.
const startTime = 400 * time.Millisecond

// helpersLook is how long the look at who else uses what the storage's helpers serve
// may take, besides their time to end.
const helpersLook = 300 * time.Millisecond

// Hands do what the ladder asks for. Each method returns when its call is answered,
// not when the processes have ended, and at the latest when its context ends.
type Hands interface {
	RefuseSteps(context.Context) error // and end those that begin elsewhere
	AwaitStart(context.Context) error  // of containers that are being made
	KillSteps(context.Context) error   // and nothing of the command
	Kill(context.Context) error
	Wait(context.Context) error // does nothing
	TerminateOwner(context.Context) error
	KillOwner(context.Context) error
	Stop(context.Context) error
	CgroupKill(context.Context) error
	Free(context.Context) error
	EndHelpers(context.Context) error
}

// Rung is a row of the ladder: a stage that ends something, or waits for its end.
type Rung struct {
	Stage Stage
	Name  api.Rung                           // in the API, metrics and log; several stages share one
	Limit func(Timeouts) time.Duration       // how long it may take
	Does  func(Hands, context.Context) error // its call
	Obeys Event                              // what comes of it where containers end, and the owner does not, but by SIGKILL
	Now   string                             // what is being done, for people
	Words func(Status, Held) Words           // what a plan says of it
}

// The stages that are rungs.
const (
	StageRefuse     Stage = "refuse"      // nothing was sent: no step runs, and none is let begin
	StageLetStart   Stage = "let_start"   // containers that are being made are awaited
	StageContainers Stage = "containers"  // the containers alone were told to end, not the command
	StageKill       Stage = "kill"        // KillUnit was called
	StageTidy       Stage = "tidy"        // the owner may tidy up after its containers
	StageTerm       Stage = "term"        // the owner got SIGTERM
	StageKillOwner  Stage = "kill_owner"  // the owner got SIGKILL
	StageStop       Stage = "stop"        // StopUnit was called
	StageCgroupKill Stage = "cgroup_kill" // cgroup.kill was written
	StageFree       Stage = "free"        // what the survivors wait for is being ended
	StageHelpers    Stage = "helpers"     // nothing is left but who served the build's storage
)

// ladder is every rung. Which follows which is next's to say: it depends on what a
// rung has left.
var ladder = []Rung{
	{
		Stage: StageRefuse, Obeys: OwnerExited, Does: Hands.RefuseSteps,
		Limit: func(t Timeouts) time.Duration { return t.Owner },
		Now:   "no RUN step of it runs, so its owner gets no signal, and its next step is refused",
		Words: always(Words{Means: api.MeansWait, Whom: Owner, Text: "no RUN step runs, so nothing is sent: the owner's next one is refused"}),
	},
	{
		Stage: StageLetStart, Obeys: CallSucceeded, Does: Hands.AwaitStart,
		Limit: func(Timeouts) time.Duration { return startTime },
		Now:   "containers that are being made are awaited",
		Words: always(Words{Means: api.MeansWait, Text: "containers that are being made may be started"}),
	},
	{
		Stage: StageContainers, Name: api.RungKill, Obeys: CallSucceeded, Does: Hands.KillSteps,
		Limit: func(t Timeouts) time.Duration { return t.Kill },
		Now:   "its processes got SIGKILL",
		Words: always(Words{Means: api.MeansCgroupKill, Signal: "SIGKILL", On: OnContainers, Whom: Steps, Text: "the RUN steps are killed, the command is spared"}),
	},
	{
		Stage: StageKill, Name: api.RungKill, Obeys: Emptied, Does: Hands.Kill,
		Limit: func(t Timeouts) time.Duration { return t.Kill },
		Now:   "its processes got SIGKILL",
		Words: wordsOfKill,
	},
	{
		Stage: StageTidy, Name: api.RungOwner, Obeys: TimeOver, Does: Hands.Wait,
		Limit: func(t Timeouts) time.Duration { return t.Owner },
		Now:   "its owner may tidy up",
		Words: func(s Status, _ Held) Words {
			if s.OwnerSpared {
				return Words{Means: api.MeansWait, Whom: Owner, Text: "the owner may tidy up; it is never signalled"}
			}
			return Words{Means: api.MeansWait, Whom: Owner, Text: "the owner may tidy up"}
		},
	},
	{
		Stage: StageTerm, Name: api.RungOwner, Obeys: TimeOver, Does: Hands.TerminateOwner,
		Limit: func(t Timeouts) time.Duration { return t.OwnerTerm },
		Now:   "its owner got SIGTERM",
		Words: func(s Status, _ Held) Words {
			if s.CommandInside {
				return Words{Means: api.MeansPidfd, Signal: "SIGTERM", Whom: OwnerAndCommand, Text: "all of the command is told to end"}
			}
			return Words{Means: api.MeansPidfd, Signal: "SIGTERM", Whom: Owner, Text: "the owner is told to end, unless it has seen the end of its step"}
		},
	},
	{
		Stage: StageKillOwner, Name: api.RungOwner, Obeys: OwnerExited, Does: Hands.KillOwner,
		Limit: func(t Timeouts) time.Duration { return t.OwnerTerm },
		Now:   "its owner got SIGKILL",
		Words: always(Words{Means: api.MeansPidfd, Signal: "SIGKILL", Whom: Owner, Text: "the owner is killed, unless it has seen the end of its step"}),
	},
	{
		Stage: StageStop, Name: api.RungStop, Obeys: TimeOver, Does: Hands.Stop,
		Limit: func(t Timeouts) time.Duration { return t.Stop },
		Now:   "systemd stops its scope",
		Words: func(s Status, _ Held) Words {
			if s.Empty {
				return Words{Means: api.MeansStopUnit, On: OnUnit, Text: "the empty scope is stopped"}
			}
			return Words{Means: api.MeansStopUnit, Signal: "SIGKILL", On: OnUnit, Whom: Everybody, Text: "the scope is stopped, with what is left in it"}
		},
	},
	{
		Stage: StageCgroupKill, Name: api.RungCgroupKill, Obeys: Emptied, Does: Hands.CgroupKill,
		Limit: func(t Timeouts) time.Duration { return t.CgroupKill },
		Now:   "the kernel was told to kill its cgroups",
		Words: always(Words{Means: api.MeansCgroupKill, Signal: "SIGKILL", On: OnCgroup, Whom: Everybody, Text: "the kernel kills what is left"}),
	},
	{
		Stage: StageFree, Name: api.RungSurvivors, Obeys: TimeOver, Does: Hands.Free,
		Limit: func(t Timeouts) time.Duration { return t.Survivors },
		Now:   "what its last processes wait for is ended, where that is its own",
		Words: always(Words{Means: api.MeansFUSEAbort, Text: "FUSE connections that what is left waits for are aborted, if they are the build's own"}),
	},
	{
		Stage: StageHelpers, Name: api.RungHelpers, Obeys: TimeOver, Does: Hands.EndHelpers,
		Limit: func(t Timeouts) time.Duration { return t.Helpers + helpersLook },
		Now:   "who served its storage is told to end",
		Words: always(Words{Means: api.MeansPidfd, Signal: "SIGTERM", Text: "fuse-overlayfs that served the storage is told to end"}),
	},
}

// Rung returns the row of a stage, and false for a stage that is none.
func (s Stage) Rung() (Rung, bool) {
	for _, r := range ladder {
		if r.Stage == s {
			return r, true
		}
	}
	return Rung{}, false
}

// RungName is what the rung of a stage is called in the API, or "".
func (s Stage) RungName() api.Rung {
	r, _ := s.Rung()
	return r.Name
}

// Now says what is being done in a stage.
func (s Stage) Now() string {
	if r, ok := s.Rung(); ok {
		return r.Now
	}
	return string(s)
}

// Stages lists every stage, those of the ladder in its order.
func Stages() []Stage {
	all := []Stage{StageNone, StageReported}
	for _, r := range ladder {
		all = append(all, r.Stage)
	}
	return append(all, StageSurvivors, StageDone)
}
