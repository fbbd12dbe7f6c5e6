package scopes

import (
	"context"
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// EnterCommand moves a process, which is to become the build's command, into the
// scope of a Spec with Command. act and alive are as in Enter.
//
// Its cgroup is a user's own, as the containers' is: rootless podman looks whether
// it owns the cgroup that it is in, and else moves out, into a scope of the user's
// systemd.
//
// Source: containers/podman, pkg/domain/infra/abi/system_linux.go.
func (s *Scope) EnterCommand(pid int, act func() error, alive func() bool) error {
	s.entering.Lock()
	defer s.entering.Unlock()
	return s.dir.in(commandDir, func(command *cgroup) error { return s.manager.enter(command, pid, act, alive) })
}

// KillContainers ends every process of the build's RUN containers and spares its
// command, by the kernel's own means.
func (s *Scope) KillContainers(ctx context.Context) error {
	return s.dir.inAny(payloadDir, func(containers *cgroup) error { return containers.killAll(ctx) })
}

// KillContainer ends every process of one RUN container, likewise. One that is not there has
// none.
func (s *Scope) KillContainer(ctx context.Context, container string) error {
	return s.dir.inAny(path.Join(payloadDir, runPrefix+container), func(its *cgroup) error { return its.killAll(ctx) })
}

// SignalCommand sends a signal to every process of the build's command. Each is
// held by pidfd before it is looked whether it is in the scope, so no other is
// meant. Those that spare is true for are left out.
func (s *Scope) SignalCommand(signal unix.Signal, spare func(*proc.Handle) bool) error {
	return s.dir.inAny(commandDir, func(command *cgroup) error { return command.signal(signal, spare) })
}

// signal sends the signal to every process in the cgroup and below it that is not spared.
func (c *cgroup) signal(signal unix.Signal, spare func(*proc.Handle) bool) error {
	var failed error
	for _, member := range c.members() {
		process, err := proc.Open(member.PID)
		if err != nil {
			continue // it has ended
		}
		// Held first, asked then: the list is of PIDs, and they are used again.
		where, err := process.Cgroup()
		if err == nil && c.holds(where) && !spare(process) {
			if err := process.Signal(signal); err != nil && !errors.Is(err, proc.ErrGone) {
				failed = errors.Join(failed, err)
			}
		}
		process.Close()
	}
	return failed
}

// Holds reports whether a cgroup, below the mount, is the scope's or in it.
func (s *Scope) Holds(cgroup string) bool { return s.dir.holds(cgroup) }

// holds reports whether another cgroup is this one, or below it.
func (c *cgroup) holds(path string) bool {
	return path == c.path || strings.HasPrefix(path, c.path+"/")
}
