package watch

import (
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
)

// explain says why the build is kept, or is being ended: by what is known of it,
// since when, and by what the state machine makes of that.
func (b *build) explain() api.Explanation {
	containers := b.containersNow()
	held := b.processes()
	b.mu.Lock()
	defer b.mu.Unlock()
	said := api.Explanation{Facts: []api.Fact{}}
	said.Verdict, said.ChangesWhen = judge(b.status, b.record.Mode)
	if rung, ok := b.status.Stage.Rung(); ok {
		said.Doing = rung.Act(b.status, lifecycle.Held{Scope: held.Scope != nil, Elsewhere: held.Unplaced != nil, Owner: b.status.OwnerLives}).Kind
	}
	if b.status.State.Wanted() && b.deadline() > 0 {
		said.ChangesWhen = append(said.ChangesWhen, api.ChangeDeadline)
	}
	if b.status.State.Wanted() && b.lastMoment() > 0 {
		said.ChangesWhen = append(said.ChangesWhen, api.ChangeMaxRuntime)
	}
	keeps := keptBy(b.status, b.record.Mode, b.known)
	for _, name := range api.FactNames() {
		fact, ok := b.known[name]
		switch name {
		case api.FactContainers:
			fact, ok = containers, containers.Value != ""
		case api.FactPolicy:
			fact, ok = b.watcher.policy.fact(b.watcher.since), true
		case api.FactMotion:
			if b.status.State == api.StateStalled {
				fact, ok = api.Fact{Value: api.ValueHangs, Since: b.stalled.since}, true
			}
		case api.FactSurvivors:
			if n := b.remains.Known(); n > 0 && b.status.State == api.StateStuck {
				fact, ok = api.Fact{Value: api.ValueOutlived, Count: &n, Since: b.remains.stuck}, true
			}
		case api.FactDeadline:
			fact, ok = b.timeFact(fact, b.deadline())
		case api.FactMaxRuntime:
			fact, ok = b.timeFact(fact, b.lastMoment())
		}
		if !ok {
			continue
		}
		fact.Name = name
		if fact.Source == "" {
			fact.Source = sourceOf(name)
		}
		switch {
		case slices.Contains(keeps, name):
			fact.Decides = api.DecidesKeep
		case name == b.cause && !b.status.State.Wanted():
			fact.Decides = api.DecidesEnd
		}
		said.Facts = append(said.Facts, fact)
	}
	return said
}

func (p Policy) fact(since time.Time) api.Fact {
	if p.Report {
		return api.Fact{Value: api.ValueReports, Since: since}
	}
	return api.Fact{Value: api.ValueEnds, Since: since}
}

// containersNow looks whether any process of the build's is there. It is empty where
// nothing was seen of it yet.
func (b *build) containersNow() api.Fact {
	held := b.processes()
	if held.None() {
		return api.Fact{}
	}
	fact := api.Fact{Value: api.ValueNone, Source: api.SourceCgroup}
	if held.Scope == nil {
		fact.Source = api.SourceProc
	}
	switch busy, err := held.Busy(); {
	case err != nil:
		fact.Value, fact.Error = api.ValueUnknown, err.Error()
	case busy:
		n := len(held.Members())
		fact.Value, fact.Count = api.ValueThere, &n
	}
	return fact
}

// timeFact is what is known of a deadline, 0 for none: that it is over, or when it will be.
func (b *build) timeFact(known api.Fact, at time.Duration) (api.Fact, bool) {
	if at > 0 && known.Value == "" {
		// What clocks will show at that point of CLOCK_MONOTONIC.
		shown := time.Now().Add(at - monotonic()).Round(time.Second)
		return api.Fact{Value: api.ValueAhead, At: shown, Since: b.record.Created()}, true
	}
	return known, known.Value != ""
}

// keptBy lists the facts by which a build is not ended now.
func keptBy(s lifecycle.Status, mode api.Mode, known map[api.FactName]api.Fact) []api.FactName {
	var keeps []api.FactName
	switch {
	case s.Reported():
		return []api.FactName{api.FactPolicy}
	case !s.State.Wanted():
		return nil
	case mode == api.ModeAPI:
		keeps = []api.FactName{api.FactRequest}
		if _, ok := known[api.FactRequest]; !ok {
			keeps = []api.FactName{api.FactOwner}
		}
	default:
		keeps = []api.FactName{api.FactOwner}
		if _, ok := known[api.FactWaiters]; ok {
			keeps = append(keeps, api.FactWaiters)
		}
	}
	return keeps
}

// judge says what is done with a build in this state and stage, and what but time would
// change that.
func judge(s lifecycle.Status, mode api.Mode) (api.Verdict, []api.Change) {
	switch {
	case s.Refusing() && s.Refused:
		return api.VerdictRefused, []api.Change{api.ChangeOwnerEnds}
	case s.Refusing():
		return api.VerdictRefusing, []api.Change{api.ChangeOwnerEnds, api.ChangeCompletes, api.ChangeStepBegins}
	case s.State == api.StateRunning && mode == api.ModeAPI:
		return api.VerdictRequestLives, []api.Change{api.ChangeRequestEnds, api.ChangeServiceEnds, api.ChangeStop}
	case s.State == api.StateRunning:
		return api.VerdictOwnerLives, []api.Change{api.ChangeOwnerEnds, api.ChangeStop}
	case s.State == api.StateUnsure && mode == api.ModeAPI:
		return api.VerdictRequestUnsure, []api.Change{api.ChangeRequestTold, api.ChangeProcessesEnd, api.ChangeServiceEnds, api.ChangeStop}
	case s.State == api.StateUnsure && s.OwnerLives:
		return api.VerdictBuilderLives, []api.Change{api.ChangeBuilderEnds, api.ChangeProcessesEnd, api.ChangeStop}
	case s.State == api.StateUnsure:
		return api.VerdictOwnerUnknown, []api.Change{api.ChangeProcessesEnd, api.ChangeStop}
	case s.State == api.StateStalled:
		return api.VerdictHangs, []api.Change{api.ChangeGoesOn, api.ChangeOwnerEnds, api.ChangeStop}
	case s.Reported():
		return api.VerdictReported, []api.Change{api.ChangeProcessesEnd, api.ChangeStop, api.ChangePolicy}
	case s.State == api.StateStuck:
		return api.VerdictStuck, []api.Change{api.ChangeKernel, api.ChangeFreed}
	case s.State == api.StateGone:
		return api.VerdictGone, []api.Change{}
	}
	return api.VerdictEnding, []api.Change{}
}
