package watch

import (
	"context"
	"path"
	"slices"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Plan says what Stop would do to a build as it is now, and does nothing of it.
func (w *Watcher) Plan(ctx context.Context, id string, request api.StopRequest) (api.Plan, error) {
	b, err := w.find(id)
	if err != nil {
		return api.Plan{}, err
	}
	b.mu.Lock()
	brief, now, inside := *b.brief(), b.status, b.scope
	b.mu.Unlock()
	actions := []api.PlanAction{}
	targets := b.targets(ctx, inside)
	for _, planned := range lifecycle.Plan(now) {
		action := b.describePlanned(planned, targets)
		action.Limit = api.Seconds(b.limit(planned.Rung))
		if planned.Stage == lifecycle.StageTidy && request.OwnerTimeout != nil {
			action.Limit = *request.OwnerTimeout
		}
		actions = append(actions, action)
	}
	return api.Plan{Build: brief, Actions: actions}, nil
}

// targets are the processes of a build, by what of the ladder concerns them.
type targets struct {
	containers, client, keepers, owner []api.PlanProcess
	steps                              []api.PlanProcess // of a client that is inside: those that go first
}

func (b *build) targets(ctx context.Context, s Scope) targets {
	var t targets
	for _, m := range b.members() {
		process := planProcess(m.PID)
		switch {
		case s == nil || b.record.Mode != api.ModeRun || !inClient(s, m):
			t.containers = append(t.containers, process)
			t.steps = append(t.steps, process)
		default:
			t.client = append(t.client, process)
			if b.isStepOfClient(ctx, m.PID) {
				t.steps = append(t.steps, process)
			}
		}
	}
	if s != nil {
		for _, m := range s.Keepers() {
			t.keepers = append(t.keepers, planProcess(m.PID))
		}
	}
	if b.owner != nil && b.owner.Alive() {
		t.owner = []api.PlanProcess{planProcess(b.owner.PID)}
	}
	return t
}

func (b *build) members() []scopes.Member {
	if held := b.held(); held != nil {
		return held.Members()
	}
	return nil
}

func planProcess(pid int) api.PlanProcess {
	look, err := proc.Look(pid)
	if err != nil {
		return api.PlanProcess{PID: pid} // it has just ended
	}
	return api.PlanProcess{PID: pid, Command: look.Comm}
}

// containersOf is the cgroup in which the scope has its containers.
func containersOf(s Scope) string { return path.Dir(s.CgroupsPath("any")) }

// inClient tells whether a process in the scope is no container's.
func inClient(s Scope, m scopes.Member) bool {
	return s.Holds(m.Cgroup) && m.Cgroup != containersOf(s) && !isBelow(m.Cgroup, containersOf(s))
}

func isBelow(cgroup, above string) bool {
	for ; cgroup != "/" && cgroup != "."; cgroup = path.Dir(cgroup) {
		if cgroup == above {
			return true
		}
	}
	return false
}

func (b *build) isStepOfClient(ctx context.Context, pid int) bool {
	h, err := proc.Open(pid)
	if err != nil {
		return false
	}
	defer h.Close()
	return b.isChrootStep(ctx, h)
}

// describePlanned says of a rung on what and whom it would act.
func (b *build) describePlanned(p lifecycle.Planned, t targets) api.PlanAction {
	b.mu.Lock()
	held, s, seen := b.hold(), b.scope, b.seen
	b.mu.Unlock()
	words := p.Words(p.Status, lifecycle.Held{Scope: s != nil, Elsewhere: seen != nil, Owner: len(t.owner) > 0})
	action := api.PlanAction{Rung: p.Name, If: p.When, Means: words.Means, Signal: words.Signal, Text: words.Text}
	switch {
	case words.On == lifecycle.OnNewUnit:
		action.On = scopes.UnitName(b.id)
	case held == nil:
	case words.On == lifecycle.OnUnit:
		action.On = held.Unit()
	case words.On == lifecycle.OnCgroup:
		action.On = held.Cgroup()
	case words.On == lifecycle.OnContainers && s != nil:
		action.On = containersOf(s)
	}
	action.Processes = append([]api.PlanProcess{}, t.of(words.Whom)...)
	return action
}

// of are those whom a rung concerns.
func (t targets) of(whom lifecycle.Whom) []api.PlanProcess {
	switch whom {
	case lifecycle.Everybody:
		return slices.Concat(t.client, t.containers, t.keepers)
	case lifecycle.Steps:
		return t.steps
	case lifecycle.Owner:
		return t.owner
	case lifecycle.OwnerAndClient:
		return union(t.owner, t.client)
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
