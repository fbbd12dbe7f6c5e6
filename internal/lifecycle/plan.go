package lifecycle

import (
	"slices"

	"github.com/buildwatch/buildwatch/api"
)

// Act is what a rung does, and to whom.
type Act struct {
	Kind   api.ActionKind
	Means  api.PlanMeans
	Signal string
	On     On
	Whom   Whom
}

// On is what a rung's call is made on.
type On int

// All of them.
const (
	OnNothing    On = iota
	OnUnit          // the build's scope
	OnNewUnit       // a scope that is made for what is left
	OnCgroup        // the scope's cgroup
	OnContainers    // the cgroup that its containers are in
)

// Whom are the processes that a rung concerns.
type Whom int

// All of them.
const (
	Nobody Whom = iota
	Everybody
	Steps
	Owner
	OwnerAndCommand
)

// Held says where a build's processes are held, and whether its owner is there.
type Held struct {
	Scope     bool // in a scope that they were born in
	Elsewhere bool // where they were seen
	Owner     bool
}

func always(w Act) func(Status, Held) Act { return func(Status, Held) Act { return w } }

func actOfKill(_ Status, h Held) Act {
	w := Act{Means: api.MeansKillUnit, Signal: "SIGKILL", On: OnUnit, Whom: Everybody}
	switch {
	case h.Scope && h.Elsewhere:
		w.Kind = api.ActionKillAll
	case h.Scope:
		w.Kind = api.ActionKillScope
	case h.Owner:
		w.Kind, w.Means, w.On = api.ActionKillInPlace, api.MeansPidfd, OnNothing
	default:
		w.Kind, w.On = api.ActionGather, OnNewUnit
	}
	return w
}

// Planned is a rung as a plan has it.
type Planned struct {
	Rung
	Status Status // of the build then
	When   api.PlanCondition
}

// Plan lists the rungs that a stop leads through from a status, in order: those
// of a ladder that does its work, then those that come where processes are left.
// The state machine that acts is walked for that, twice, with made-up outcomes. busy says
// whether a step runs.
func Plan(from Status, busy bool) []Planned {
	var rungs []Planned
	add := func(path []Status, condition func(i int) api.PlanCondition) {
		for i, s := range path {
			same := func(p Planned) bool { return p.Stage == s.Stage && p.Status.Empty == s.Empty }
			// An owner has its turn once, whether its containers are gone by then or not.
			again := func(p Planned) bool {
				return p.Stage == s.Stage && s.Stage != StageStop && s.Stage != StageKill
			}
			if rung, ok := s.Stage.Rung(); ok && !slices.ContainsFunc(rungs, same) && !slices.ContainsFunc(rungs, again) {
				rungs = append(rungs, Planned{rung, s, condition(i)})
			}
		}
	}
	works := walk(from, busy, func(r Rung) Event { return r.Obeys })
	add(works, func(i int) api.PlanCondition {
		switch {
		case works[i].Stage == StageTerm, works[i].Stage == StageKillOwner:
			return api.PlanOwnerLives
		case works[i].Stage == StageKill && slices.ContainsFunc(works[:i], func(s Status) bool { return s.Stage == StageTidy }):
			return api.PlanProcessesLeft // what the owner has left
		}
		return api.PlanAlways
	})
	add(walk(from, busy, func(Rung) Event { return TimeOver }), func(int) api.PlanCondition { return api.PlanProcessesLeft })
	return rungs
}

// walk returns what the build is in each stage of the ladder, if the stages have
// these outcomes.
func walk(s Status, busy bool, outcome func(Rung) Event) []Status {
	if s.Open() {
		s, _ = Next(s, StopRequested, busy)
		s, _ = Next(s, Begin, busy)
	}
	var path []Status
	for {
		rung, ok := s.Stage.Rung()
		if !ok {
			return path
		}
		path = append(path, s)
		after, _ := Next(s, outcome(rung), false)
		if after.Stage == s.Stage {
			return path // the stage waits for something else: it is the last that can be told
		}
		s = after
	}
}
