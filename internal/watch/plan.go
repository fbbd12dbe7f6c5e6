package watch

import (
	"context"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// Plan says what Stop would do to a build as it is now, and does nothing of it.
func (w *Watcher) Plan(ctx context.Context, id string, request api.StopRequest) (api.Plan, error) {
	b, err := w.find(id)
	if err != nil {
		return api.Plan{}, err
	}
	b.processes().Look()
	b.mu.Lock()
	head, now, busy := b.head(), b.status, b.busy()
	b.mu.Unlock()
	actions := []api.PlanAction{}
	targets := b.targets(ctx)
	for _, planned := range lifecycle.Plan(now, busy) {
		action := b.describePlanned(planned, targets)
		action.Limit = api.Seconds(b.limit(planned.Rung))
		if (planned.Stage == lifecycle.StageTidy || planned.Stage == lifecycle.StageRefuse) && request.OwnerTimeout != nil {
			action.Limit = *request.OwnerTimeout
		}
		actions = append(actions, action)
	}
	return api.Plan{Build: head, Actions: actions}, nil
}

// targets are the processes of a build, by what of the ladder concerns them.
type targets struct {
	processes.Targets
	owner []api.PlanProcess
}

func (b *build) targets(ctx context.Context) targets {
	var command *processes.Command
	if b.record.Mode == api.ModeRun {
		inside := b.commandInside()
		command = &inside
	}
	t := targets{Targets: b.processes().Targets(ctx, command)}
	if b.owner != nil && b.owner.Alive() {
		t.owner = []api.PlanProcess{processes.PlanProcess(b.owner.PID)}
	}
	return t
}

// describePlanned says of a rung on what and whom it would act.
func (b *build) describePlanned(p lifecycle.Planned, t targets) api.PlanAction {
	held := b.processes()
	act := p.Act(p.Status, lifecycle.Held{Scope: held.Scope != nil, Elsewhere: held.Unplaced != nil, Owner: len(t.owner) > 0})
	action := api.PlanAction{Kind: act.Kind, Rung: p.Name, If: p.When, Means: act.Means, Signal: act.Signal}
	if p.Stage == lifecycle.StageTerm && b.owner != nil {
		action.Signal = unix.SignalName(b.owner.TerminateBy())
	}
	switch {
	case act.On == lifecycle.OnNewUnit:
		action.On = processes.UnitOf(b.id)
	case act.On == lifecycle.OnUnit:
		action.On = held.Unit()
	case act.On == lifecycle.OnCgroup:
		action.On = held.Cgroup()
	case act.On == lifecycle.OnContainers:
		action.On = held.ContainersCgroup()
	}
	action.Processes = append([]api.PlanProcess{}, t.of(act.Whom)...)
	return action
}

// of are those whom a rung concerns.
func (t targets) of(whom lifecycle.Whom) []api.PlanProcess {
	switch whom {
	case lifecycle.Everybody:
		return slices.Concat(t.Command, t.Containers, t.Keepers)
	case lifecycle.Steps:
		return t.Steps
	case lifecycle.Owner:
		return t.owner
	case lifecycle.OwnerAndCommand:
		return union(t.owner, t.Command)
	}
	return nil
}

// union has each process once, in order.
func union(a, b []api.PlanProcess) []api.PlanProcess {
	all := slices.Clone(a)
	for _, p := range b {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}
