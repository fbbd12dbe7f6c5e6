package processes

import (
	"context"
	"path"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Targets are the processes of a build, by what of the ladder concerns them.
type Targets struct {
	Containers, Command, Keepers []api.PlanProcess
	Steps                        []api.PlanProcess // with a command inside: those that go first
}

// Targets says who of the build would be ended as what. command is nil unless it is in the
// scope.
func (s Set) Targets(ctx context.Context, command *Command) Targets {
	var t Targets
	for _, m := range s.Members() {
		process := PlanProcess(m.PID)
		switch {
		case s.Scope == nil || command == nil || !s.inCommand(m):
			t.Containers = append(t.Containers, process)
			t.Steps = append(t.Steps, process)
		default:
			t.Command = append(t.Command, process)
			if command.runsStep(ctx, m.PID) {
				t.Steps = append(t.Steps, process)
			}
		}
	}
	if s.Scope != nil {
		for _, m := range s.Scope.Keepers() {
			t.Keepers = append(t.Keepers, PlanProcess(m.PID))
		}
	}
	return t
}

// PlanProcess names a process.
func PlanProcess(pid int) api.PlanProcess {
	look, err := proc.Look(pid)
	if err != nil {
		return api.PlanProcess{PID: pid} // it has just ended
	}
	return api.PlanProcess{PID: pid, Command: look.Comm}
}

// ContainersCgroup is the cgroup in which the scope has its containers; "" for no scope.
func (s Set) ContainersCgroup() string {
	if s.Scope == nil {
		return ""
	}
	return path.Dir(s.Scope.CgroupsPath("any"))
}

// inCommand reports whether a process in the scope is no container's.
func (s Set) inCommand(m scopes.Member) bool {
	containers := s.ContainersCgroup()
	return s.Scope.Holds(m.Cgroup) && m.Cgroup != containers && !isBelow(m.Cgroup, containers)
}

func isBelow(cgroup, above string) bool {
	for ; cgroup != "/" && cgroup != "."; cgroup = path.Dir(cgroup) {
		if cgroup == above {
			return true
		}
	}
	return false
}

func (c Command) runsStep(ctx context.Context, pid int) bool {
	h, err := proc.Open(pid)
	if err != nil {
		return false
	}
	defer h.Close()
	return c.isChrootStep(ctx, h)
}
