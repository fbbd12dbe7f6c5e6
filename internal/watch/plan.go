package watch

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/internal/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Plan says what Stop would do to a build as it is now, and does nothing of it. The
// steps are those of the state machine that acts: it is walked twice with made-up
// outcomes, once with containers that end and an owner that does not, once with
// processes that nothing ends.
func (w *Watcher) Plan(ctx context.Context, id string, ownerTimeout time.Duration) (api.Plan, error) {
	b, err := w.find(id)
	if err != nil {
		return api.Plan{}, err
	}
	b.mu.Lock()
	brief, now, inside := *b.brief(), b.status, b.scope
	b.mu.Unlock()
	steps := []api.PlanStep{}
	targets := b.targets(ctx, inside)
	for _, planned := range plan(now) {
		step := b.describePlanned(planned, targets)
		step.Limit = b.limit(planned.stage)
		if planned.stage == stageTidy && ownerTimeout > 0 {
			step.Limit = ownerTimeout
		}
		steps = append(steps, step)
	}
	return api.Plan{Build: brief, Steps: steps}, nil
}

// planned is a stage as a plan has it.
type planned struct {
	stage stage
	empty bool // nothing is left in the scope then
	when  api.PlanCondition
}

// plan lists the stages that a stop leads through from a status, in order: those
// of a ladder that does its work, then those that come where processes are left.
func plan(from status) []planned {
	var stages []planned
	add := func(path []status, condition func(i int) api.PlanCondition) {
		for i, s := range path {
			same := func(p planned) bool { return p.stage == s.stage && p.empty == s.empty }
			// An owner has its turn once, whether its containers are gone by then or not.
			again := func(p planned) bool {
				return p.stage == s.stage && s.stage != stageStop && s.stage != stageKill
			}
			if !slices.ContainsFunc(stages, same) && !slices.ContainsFunc(stages, again) {
				stages = append(stages, planned{s.stage, s.empty, condition(i)})
			}
		}
	}
	works := walk(from, obeys)
	add(works, func(i int) api.PlanCondition {
		switch {
		case works[i].stage == stageTerm, works[i].stage == stageKillOwner:
			return api.PlanOwnerLives
		case works[i].stage == stageKill && slices.ContainsFunc(works[:i], func(s status) bool { return s.stage == stageTidy }):
			return api.PlanProcessesLeft // what the owner has left
		}
		return api.PlanAlways
	})
	add(walk(from, func(stage) event { return timeOver }), func(int) api.PlanCondition { return api.PlanProcessesLeft })
	return stages
}

// obeys is the outcome of a stage where containers end and the owner does not, but
// by SIGKILL.
func obeys(s stage) event {
	switch s {
	case stageLetStart, stageContainers:
		return callSucceeded
	case stageKill, stageCgroupKill:
		return emptied
	case stageKillOwner:
		return ownerExitedIdle
	}
	return timeOver
}

// walk returns what the build is in each stage of the ladder, if the stages have
// these outcomes.
func walk(s status, outcome func(stage) event) []status {
	if s.open() {
		s, _ = next(s, stopRequested)
		s, _ = next(s, begin)
	}
	var path []status
	for s.stage != stageSurvivors && s.stage != stageDone && s.stage != stageNone {
		path = append(path, s)
		after, _ := next(s, outcome(s.stage))
		if after.stage == s.stage {
			break // the stage waits for something else: it is the last that can be told
		}
		s = after
	}
	return path
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

// describePlanned says of a stage what enter does in it.
func (b *build) describePlanned(p planned, t targets) api.PlanStep {
	b.mu.Lock()
	held, s, seen, spared := b.hold(), b.scope, b.seen != nil, b.status.ownerSpared
	b.mu.Unlock()
	all := slices.Concat(t.client, t.containers, t.keepers)
	step := api.PlanStep{Step: p.stage.rung(), If: p.when, Processes: []api.PlanProcess{}}
	unit := ""
	if s != nil {
		unit = s.Unit()
	} else if held != nil {
		unit = held.Unit()
	}
	concerns := func(means api.PlanMeans, signal, on, text string, processes []api.PlanProcess) {
		step.Means, step.Signal, step.On, step.Text = means, signal, on, text
		step.Processes = append(step.Processes, processes...)
	}
	switch p.stage {
	case stageLetStart:
		concerns(api.MeansWait, "", "", "containers that are being made may be started", nil)
	case stageContainers:
		concerns(api.MeansCgroupKill, "SIGKILL", containersOf(s), "the RUN steps are killed, their client is spared", t.steps)
	case stageKill:
		switch {
		case s != nil && seen:
			concerns(api.MeansKillUnit, "SIGKILL", unit, "all in the scope is killed, and what of the build is elsewhere, by descriptor", all)
		case s != nil:
			concerns(api.MeansKillUnit, "SIGKILL", unit, "all in the scope is killed", all)
		case len(t.owner) > 0:
			concerns(api.MeansPidfd, "SIGKILL", "", "the RUN steps are killed where they are", all)
		default:
			concerns(api.MeansKillUnit, "SIGKILL", scopes.UnitName(b.id), "the processes are gathered into a scope, and killed there", all)
		}
	case stageTidy:
		text := "the owner may tidy up"
		if spared {
			text = "the API service may tidy up; it is never signalled"
		}
		concerns(api.MeansWait, "", "", text, t.owner)
	case stageTerm:
		concerns(api.MeansPidfd, "SIGTERM", "", "the owner is told to end", t.owner)
		if b.record.Mode == api.ModeRun {
			step.Text, step.Processes = "all of the client is told to end", union(t.owner, t.client)
		}
	case stageKillOwner:
		concerns(api.MeansPidfd, "SIGKILL", "", "the owner is killed", t.owner)
	case stageStop:
		if p.empty {
			concerns(api.MeansStopUnit, "", unit, "the empty scope is stopped", nil)
			break
		}
		concerns(api.MeansStopUnit, "SIGKILL", unit, "the scope is stopped, with what is left in it", all)
	case stageCgroupKill:
		on := ""
		if held != nil {
			on = held.Cgroup()
		}
		concerns(api.MeansCgroupKill, "SIGKILL", on, "the kernel kills what is left", all)
	case stageFree:
		concerns(api.MeansFUSEAbort, "", "", "FUSE connections that what is left waits for are aborted, if they are the build's own", nil)
	case stageHelpers:
		concerns(api.MeansPidfd, "SIGTERM", "", "fuse-overlayfs that served the storage is told to end", nil)
	default:
		step.Text = fmt.Sprintf("stage %q", p.stage)
	}
	return step
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
