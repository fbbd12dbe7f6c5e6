package watch

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// killSteps ends the RUN steps of a build whose client is in the scope with them,
// and spares the client: podman then sees the step fail, and tidies up.
//
// All of the scope is to end; which of it is a step only decides what goes first.
// So a process's name may tell here.
func (b *build) killSteps(ctx context.Context) error {
	b.mu.Lock()
	s, seen := b.scope, b.seen
	b.mu.Unlock()
	if s == nil {
		return nil
	}
	err := errors.Join(s.KillContainers(ctx), s.SignalClient(unix.SIGKILL, func(process *proc.Handle) bool {
		return !b.isChrootStep(ctx, process)
	}))
	if seen != nil { // steps outside: of a rootless podman that left, or of a runtime given by hand
		err = errors.Join(err, seen.Kill(ctx))
	}
	return err
}

// isChrootStep tells whether the process, or one above it up to the owner, runs a
// RUN step with chroot isolation.
func (b *build) isChrootStep(ctx context.Context, process *proc.Handle) bool {
	last := process
	defer func() {
		if last != process {
			last.Close()
		}
	}()
	for range maxAncestors {
		if last.Identity == b.record.Owner {
			return false
		}
		if args, err := b.watcher.args.Args(ctx, last); err == nil && len(args) > 0 && args[0] == podman.ChrootMonitor {
			return true
		}
		parent, err := last.Parent()
		if err != nil {
			return false
		}
		if last != process {
			last.Close()
		}
		last = parent
	}
	return false
}

// tellClient sends a signal to all of the client's processes: the owner may be a
// script, or a rootless podman's outer process.
func (b *build) tellClient(signal unix.Signal) {
	b.mu.Lock()
	s := b.scope
	b.mu.Unlock()
	if s == nil {
		return
	}
	if err := s.SignalClient(signal, func(*proc.Handle) bool { return false }); err != nil {
		b.log.WithError(err).Errorf("Cannot send %s to the build's client", unix.SignalName(signal))
	}
}
