package scopes

import (
	"context"
	"errors"
	"syscall"

	systemd "github.com/coreos/go-systemd/v22/dbus"

	"github.com/buildwatch/buildwatch/internal/failpoint"
	"github.com/buildwatch/buildwatch/internal/share"
)

// Kill sends SIGKILL to every process of the unit, through systemd, and then to
// whoever that has left. A unit that is gone has none. Where systemd has too much to
// do, the kernel sends it: systemd then reads that the cgroup is empty, as ever.
func (s *Scope) Kill(ctx context.Context) error {
	release, ok := s.manager.turns.toEndSoon(ctx, s.account())
	if !ok {
		return s.killInTurn(ctx)
	}
	if err := s.killUnit(ctx, release); err != nil {
		return err
	}
	return s.dir.endLeft(ctx)
}

// killInTurn is CgroupKill for one of many.
func (s *Scope) killInTurn(ctx context.Context) error {
	release, err := s.manager.turns.kills.Wait(ctx, s.account())
	if err != nil {
		return err
	}
	err = s.dir.kill()
	release()
	return s.dir.afterKill(ctx, err)
}

// killUnit has the turn for no longer than systemd is asked: of many builds that are over at
// once the next need not wait until this one's processes have ended.
func (s *Scope) killUnit(ctx context.Context, release func()) error {
	defer release()
	err := s.manager.ending.call(ctx, KillUnit, func(conn *systemd.Conn) error {
		if err := failpoint.At(failpoint.Kill); err != nil {
			return err
		}
		return conn.KillUnitWithTarget(ctx, s.unit, systemd.All, int32(syscall.SIGKILL))
	})
	if isNoSuchUnit(err) {
		return nil
	}
	return err
}

var errBusySystemd = errors.New("systemd has too many orders to carry out")

// Stop stops the unit and waits for the job. A unit that is gone is stopped. Its
// cgroup goes with it, if nothing is left in it. Where systemd has too much to do, an empty
// one is stopped later, in the background.
func (s *Scope) Stop(ctx context.Context) error {
	release, ok := s.manager.turns.toEndSoon(ctx, s.account())
	if !ok {
		if populated, err := s.dir.populated(); populated || err != nil {
			return errors.Join(errBusySystemd, err)
		}
		s.manager.background.Go(func() { s.Discard(s.manager.life) })
		return nil
	}
	defer release()
	return s.stop(ctx)
}

// stop is Stop for who has the turn.
func (s *Scope) stop(ctx context.Context) error {
	if err := s.stopUnit(ctx); err != nil {
		return err
	}
	if s.removeEmpty() {
		return s.stopUnit(ctx)
	}
	return nil
}

// stopInTurn is Stop for who has time.
func (s *Scope) stopInTurn(ctx context.Context) error {
	release, err := s.manager.turns.toEnd(ctx, s.account())
	if err != nil {
		return err
	}
	defer release()
	return s.stop(ctx)
}

func (s *Scope) stopUnit(ctx context.Context) error {
	err := s.manager.ending.callJob(ctx, StopUnit, func(conn *systemd.Conn, job chan<- string) error {
		if err := failpoint.At(failpoint.Stop); err != nil {
			return err
		}
		_, err := conn.StopUnitContext(ctx, s.unit, "replace", job)
		return err
	})
	if isNoSuchUnit(err) {
		return nil
	}
	return err
}

// account is whose orders about the scope count as.
func (s *Scope) account() share.Account { return s.manager.accounts.OfUID(s.uid) }

// removeEmpty removes the cgroup of a unit that has ended, and reports whether systemd is
// to look at the unit again. systemd removes a cgroup that is empty at its unit's end; one
// in which something survived, when the kernel says that it has become empty, but not if
// the unit was forgotten before that was read. And it forgets a unit whose cgroup was not
// empty at its end when it reads that it has become so: if it is removed before, the unit
// stays loaded until there is another order about it.
//
// Source: systemd 252 to 262, src/core/cgroup.c, on_cgroup_empty_event and
// unit_check_cgroup_events; src/core/unit.c, unit_may_gc and unit_add_to_gc_queue.
func (s *Scope) removeEmpty() (removed bool) {
	if s.dir == nil {
		return false
	}
	if populated, err := s.dir.populated(); populated || err != nil {
		return false
	}
	left := maxCgroups
	s.dir.removeBelow(maxDepth, &left)
	return s.manager.remove(s.dir) == nil
}

// CgroupKill ends every process of the scope by the kernel's own means, without
// systemd.
func (s *Scope) CgroupKill(ctx context.Context) error { return s.dir.killAll(ctx) }
