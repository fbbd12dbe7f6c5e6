package processes

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Command tells, of a build whose command is in the scope with its RUN steps, which is
// which.
type Command struct {
	Owner proc.Identity // the command's first process
	Args  *proc.Reader
}

// KillSteps ends the RUN steps of a build whose command is in the scope with them, and
// spares the command: podman then sees the step fail, and tidies up.
//
// All of the scope is to end; which of it is a step only decides what goes first.
// So a process's name may tell here.
func (s Set) KillSteps(ctx context.Context, c Command) error {
	if s.Scope == nil {
		return nil
	}
	err := errors.Join(s.Scope.KillContainers(ctx), s.Scope.SignalCommand(unix.SIGKILL, func(process *proc.Handle) bool {
		return !c.isChrootStep(ctx, process)
	}))
	if s.Unplaced != nil { // steps outside: of a rootless podman that left, or of a runtime given by hand
		err = errors.Join(err, s.Unplaced.Kill(ctx))
	}
	return err
}

// Containers has the first process of each of the scope's RUN containers, by the container's
// name.
func (s Set) Containers() map[string]scopes.Member {
	found := map[string]scopes.Member{}
	if s.Scope == nil {
		return found
	}
	for _, m := range s.Scope.Members() {
		inside, ok := strings.CutPrefix(m.Cgroup, s.Scope.CgroupsPath(""))
		name, _, _ := strings.Cut(inside, "/")
		if first, known := found[name]; ok && (!known || m.PID < first.PID) {
			found[name] = m
		}
	}
	return found
}

// KillPart ends some of the steps: what is in these containers of the scope, and what was seen
// elsewhere of those.
func (s Set) KillPart(ctx context.Context, containers []string, elsewhere []Followed) error {
	var err error
	if s.Scope != nil {
		for _, container := range containers {
			err = errors.Join(err, s.Scope.KillContainer(ctx, container))
		}
	}
	if s.Unplaced != nil && len(elsewhere) > 0 {
		err = errors.Join(err, s.Unplaced.killSteps(ctx, elsewhere))
	}
	return err
}

// maxAncestors bounds the way from a process up to the command.
const maxAncestors = 32

// isChrootStep reports whether the process, or one above it up to the owner, runs a
// RUN step with chroot isolation.
func (c Command) isChrootStep(ctx context.Context, process *proc.Handle) bool {
	for above := range proc.Ancestors(process, maxAncestors) {
		if above.Identity == c.Owner {
			return false
		}
		if args, err := c.Args.Args(ctx, above); err == nil && len(args) > 0 && args[0] == podman.ChrootMonitor {
			return true
		}
	}
	return false
}

// TerminateCommand tells all of the command's processes to end: the owner may be a
// script, or a rootless podman's outer process. podman gets the signal by which it tidies up.
func (s Set) TerminateCommand() error {
	if s.Scope == nil {
		return nil
	}
	tidies := func(h *proc.Handle) bool {
		exe, err := h.Exe()
		return err == nil && podman.TidiesByHangup(exe)
	}
	return errors.Join(
		s.Scope.SignalCommand(unix.SIGHUP, func(h *proc.Handle) bool { return !tidies(h) }),
		s.Scope.SignalCommand(unix.SIGTERM, tidies),
	)
}
