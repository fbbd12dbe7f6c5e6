package watch

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// enter has done what a stage of the ladder does, and sends what came of it, as the
// outcome of this entry.
func (b *build) enter(stage lifecycle.Stage, entry int) {
	if stage == lifecycle.StageSurvivors {
		b.watcher.running.Go(b.watchSurvivors)
	}
	rung, ok := stage.Rung()
	if !ok {
		return
	}
	// The stage's time runs on after a call that succeeded.
	ctx, cancel := context.WithTimeout(b.life, b.limit(rung))
	context.AfterFunc(ctx, func() {
		defer cancel()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			b.send(message{event: lifecycle.TimeOver, of: entry})
		}
	})
	// The ladder must not wait for a call: each is made in the background.
	b.watcher.running.Go(func() {
		switch err := rung.Does(hands{b}, ctx); {
		case err == nil:
			b.send(message{event: lifecycle.CallSucceeded, of: entry})
		case errors.Is(err, errGoesOn):
			b.send(message{event: lifecycle.OwnerGoesOn, of: entry})
		case ctx.Err() == nil: // else TimeOver says it
			b.send(message{event: lifecycle.CallFailed, of: entry, err: err})
		}
	})
}

// limit is how long a rung may take.
func (b *build) limit(r lifecycle.Rung) time.Duration {
	t := lifecycle.Timeouts(b.watcher.timeouts)
	b.mu.Lock()
	t.Owner = b.tidyTime
	b.mu.Unlock()
	return r.Limit(t)
}

// hands are those of the ladder on a build.
type hands struct{ b *build }

// startPause is between two looks at containers that are being made.
const startPause = 5 * time.Millisecond

// AwaitStart waits until the containers that are being made have been started.
// `crun start` waits for ever where the container ends between its look at it and
// the open(2) of its FIFO; podman waits with it, and tidies up nothing.
//
// Source: containers/crun, src/libcrun/status.c, libcrun_status_write_exec_fifo.
func (h hands) AwaitStart(ctx context.Context) error {
	for held := h.b.processes(); held.Starting(); {
		select {
		case <-time.After(startPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (h hands) KillSteps(ctx context.Context) error {
	h.b.findHelpers(ctx)
	return h.b.processes().KillSteps(ctx, h.b.commandInside())
}

func (h hands) Kill(ctx context.Context) error {
	h.b.findHelpers(ctx)
	return h.b.processes().Kill(ctx)
}

func (h hands) Wait(context.Context) error { return nil }

func (h hands) TerminateOwner(context.Context) error {
	err := h.signalOwner(h.b.owner.TerminateBy())
	if h.b.record.Mode == api.ModeRun {
		if err := h.b.processes().TerminateCommand(); err != nil {
			h.b.log.WithError(err).Error("Cannot tell the build's command to end")
		}
	}
	return err
}

func (h hands) KillOwner(context.Context) error { return h.signalOwner(unix.SIGKILL) }

// signalOwner is errGoesOn, and sends nothing, where the owner is not in a step.
func (h hands) signalOwner(signal unix.Signal) error {
	if h.b.ownerGoesOn() {
		return errGoesOn
	}
	if err := h.b.owner.Tell(signal); err != nil {
		h.b.log.WithError(err).Errorf("Cannot send %s to the build's owner", unix.SignalName(signal))
	}
	return nil
}

func (h hands) Stop(ctx context.Context) error {
	h.b.watcher.running.Go(func() { h.b.inspect(ctx, false) })
	return h.b.processes().Stop(ctx)
}

func (h hands) CgroupKill(ctx context.Context) error {
	h.b.watcher.running.Go(func() { h.b.inspect(ctx, false) })
	return h.b.processes().CgroupKill(ctx)
}

func (h hands) Free(ctx context.Context) error {
	h.b.free(ctx)
	return nil
}

func (h hands) EndHelpers(ctx context.Context) error { return h.b.endHelpers(ctx) }

// commandInside tells the command of a run from its RUN steps.
func (b *build) commandInside() processes.Command {
	return processes.Command{Owner: b.record.Owner, Args: b.watcher.owners.Args}
}
