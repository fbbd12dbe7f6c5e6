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
	Name  api.Rung                             // in the API, metrics and log; several stages share one
	Limit func(Timeouts) time.Duration         // how long it may take
	Does  func(Hands, context.Context) error   // its call
	Obeys Event                                // what comes of it where containers end, and the owner does not, but by SIGKILL
	Then  func(Status, Event) (Status, Action) // what follows it, by what has come of it; nil for refuse, see whileRefusing
	Act   func(Status, Held) Act               // what it does then, as plans and explanations tell it
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

// ladder is every rung. Which one follows depends on what a rung has left.
var ladder = []Rung{
	{
		Stage: StageRefuse, Obeys: OwnerExited, Does: Hands.RefuseSteps,
		Limit: func(t Timeouts) time.Duration { return t.Owner },
		Act:   always(Act{Kind: api.ActionRefuseSteps, Means: api.MeansWait, Whom: Owner}),
	},
	{
		Stage: StageLetStart, Obeys: CallSucceeded, Does: Hands.AwaitStart,
		Limit: func(Timeouts) time.Duration { return startTime },
		Then:  afterStart,
		Act:   always(Act{Kind: api.ActionAwaitStart, Means: api.MeansWait}),
	},
	{
		Stage: StageContainers, Name: api.RungKill, Obeys: CallSucceeded, Does: Hands.KillSteps,
		Limit: func(t Timeouts) time.Duration { return t.Kill },
		Then:  afterContainers,
		Act:   always(Act{Kind: api.ActionKillSteps, Means: api.MeansCgroupKill, Signal: "SIGKILL", On: OnContainers, Whom: Steps}),
	},
	{
		Stage: StageKill, Name: api.RungKill, Obeys: Emptied, Does: Hands.Kill,
		Limit: func(t Timeouts) time.Duration { return t.Kill },
		Then:  afterSignal(thenStop),
		Act:   actOfKill,
	},
	{
		Stage: StageTidy, Name: api.RungOwner, Obeys: TimeOver, Does: Hands.Wait,
		Limit: func(t Timeouts) time.Duration { return t.Owner },
		Then:  afterOwner(StageTerm),
		Act: func(s Status, _ Held) Act {
			if s.OwnerSpared {
				return Act{Kind: api.ActionTidySpared, Means: api.MeansWait, Whom: Owner}
			}
			return Act{Kind: api.ActionTidy, Means: api.MeansWait, Whom: Owner}
		},
	},
	{
		Stage: StageTerm, Name: api.RungOwner, Obeys: TimeOver, Does: Hands.TerminateOwner,
		Limit: func(t Timeouts) time.Duration { return t.OwnerTerm },
		Then:  afterOwner(StageKillOwner),
		Act: func(s Status, _ Held) Act {
			if s.CommandInside {
				return Act{Kind: api.ActionTerminateCommand, Means: api.MeansPidfd, Signal: "SIGTERM", Whom: OwnerAndCommand}
			}
			return Act{Kind: api.ActionTerminateOwner, Means: api.MeansPidfd, Signal: "SIGTERM", Whom: Owner}
		},
	},
	{
		Stage: StageKillOwner, Name: api.RungOwner, Obeys: OwnerExited, Does: Hands.KillOwner,
		Limit: func(t Timeouts) time.Duration { return t.OwnerTerm },
		Then:  afterOwner(StageNone),
		Act:   always(Act{Kind: api.ActionKillOwner, Means: api.MeansPidfd, Signal: "SIGKILL", Whom: Owner}),
	},
	{
		Stage: StageStop, Name: api.RungStop, Obeys: TimeOver, Does: Hands.Stop,
		Limit: func(t Timeouts) time.Duration { return t.Stop },
		Then:  afterStop,
		Act: func(s Status, _ Held) Act {
			if s.Empty {
				return Act{Kind: api.ActionStopEmpty, Means: api.MeansStopUnit, On: OnUnit}
			}
			return Act{Kind: api.ActionStopScope, Means: api.MeansStopUnit, Signal: "SIGKILL", On: OnUnit, Whom: Everybody}
		},
	},
	{
		Stage: StageCgroupKill, Name: api.RungCgroupKill, Obeys: Emptied, Does: Hands.CgroupKill,
		Limit: func(t Timeouts) time.Duration { return t.CgroupKill },
		Then:  afterSignal(finish),
		Act:   always(Act{Kind: api.ActionCgroupKill, Means: api.MeansCgroupKill, Signal: "SIGKILL", On: OnCgroup, Whom: Everybody}),
	},
	{
		Stage: StageFree, Name: api.RungSurvivors, Obeys: TimeOver, Does: Hands.Free,
		Limit: func(t Timeouts) time.Duration { return t.Survivors },
		Then:  afterFree,
		Act:   always(Act{Kind: api.ActionAbortFUSE, Means: api.MeansFUSEAbort}),
	},
	{
		Stage: StageHelpers, Name: api.RungHelpers, Obeys: TimeOver, Does: Hands.EndHelpers,
		Limit: func(t Timeouts) time.Duration { return t.Helpers + helpersLook },
		Then:  afterHelpers,
		Act:   always(Act{Kind: api.ActionEndHelpers, Means: api.MeansPidfd, Signal: "SIGTERM"}),
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

// Stages lists every stage, those of the ladder in its order.
func Stages() []Stage {
	all := []Stage{StageNone, StageReported}
	for _, r := range ladder {
		all = append(all, r.Stage)
	}
	return append(all, StageSurvivors, StageDone)
}
