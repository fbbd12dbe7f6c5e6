package watch

import (
	"context"
	"errors"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// beginRefusing sees to it that the next daemon refuses the build's steps as well. An
// observed build has nothing to write that on.
func (b *build) beginRefusing(s processes.Scope, why api.Reason) {
	if s == nil {
		return
	}
	r := b.record
	r.Ending = why
	if err := s.SetRecord(r.Encode()); err != nil {
		b.log.WithError(err).Warnf("Build %s: that it is to end is forgotten when buildwatchd is restarted", b.id)
	}
}

// refuseAgain goes on with what an earlier daemon has begun: the build's user was told
// so. What the policy alone would have ended is left to the policy that is in force now.
func (b *build) refuseAgain() {
	b.mu.Lock()
	defer b.unlock()
	why := b.record.Ending
	if why == "" || !b.status.OwnerLives || why != api.ReasonStopped && b.watcher.policy.Report {
		return
	}
	b.status.State, b.status.Reason, b.status.Stage = api.StateAbandoned, why, lifecycle.StageRefuse
	event := map[api.Reason]lifecycle.Event{
		api.ReasonStopped: lifecycle.StopRequested, api.ReasonDeadline: lifecycle.MaxRuntimePassed, api.ReasonStalled: lifecycle.StalledTooLong,
	}[why]
	b.cause, b.overSince = causes[event], b.stateSince
	if b.cause != "" {
		b.learn(api.Fact{Name: b.cause, Value: api.ValueBeforehand})
	}
}

// refuse is the answer to a step of a build that is over. It is called with the lock.
//
// +checklocks:b.mu
func (b *build) refuse() error {
	b.watcher.running.Go(func() { b.send(message{event: lifecycle.StepRefused}) })
	return EndedError{b.status.Reason}
}

// RefuseSteps ends what has begun without a place. What asks for one is refused by the
// build's state.
func (h hands) RefuseSteps(ctx context.Context) error {
	if unplaced := h.b.processes().Unplaced; unplaced != nil {
		return unplaced.Kill(ctx)
	}
	return nil
}

// errGoesOn is returned for an owner that is not in a step: it gets no signal.
var errGoesOn = errors.New("the owner has seen the end of its step, and works on")

// ownerGoesOn reports whether the owner, as far as it knows, is in no RUN step: it tidies
// up, commits, copies, or does what is no build. One that works for nobody, and a command
// that is in the scope itself, is told to end whatever it does.
func (b *build) ownerGoesOn() bool {
	now := b.current()
	if now.Deserted || now.CommandInside {
		return false
	}
	if busy, err := b.processes().Busy(); busy && err == nil {
		return false
	}
	return !b.watcher.inStep(b.life, b.owner)
}
