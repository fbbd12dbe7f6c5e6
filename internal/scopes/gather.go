package scopes

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/failpoint"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// Gather makes a scope of processes that are somewhere else: the orphans of a
// build that is over. A build that may still be wanted is never gathered: the
// OCI runtime would take its container for stopped, and buildah would commit a
// half-done layer. The scope has no keeper: it lasts as long as the orphans.
// What they start is born in it.
//
// The errors are those of Start.
func (m *Manager) Gather(ctx context.Context, spec Spec, orphans []*proc.Handle) (*Scope, error) {
	unit := UnitName(spec.ID)
	release, err := m.turns.toStart(ctx, m.accounts.OfUID(spec.UID))
	if err != nil {
		return nil, err
	}
	defer release()
	if err := m.nameFree(unit); err != nil {
		return nil, err
	}
	s := &Scope{manager: m, unit: unit, uid: spec.UID, gid: spec.GID, gathered: true}
	first, err := m.startWithOne(ctx, spec, orphans)
	if err == nil {
		err = failpoint.At(failpoint.Gathered)
	}
	if err == nil {
		if err = s.findOrphan(first); err == nil {
			err = s.Attach(orphans)
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, errStranger), errors.Is(err, ErrUnitExists):
		s.Close() // to stop the unit would end who is none of ours
		return nil, fmt.Errorf("gather into %s: %w", unit, err)
	default:
		// It may be there all the same: systemd was too slow to say so, or has
		// missed the end of its only process.
		m.discard(s, isAnswer(err))
		return nil, fmt.Errorf("gather into %s: %w", unit, err)
	}
	// A daemon that finds the scope later does not need the record: see DiscardUnfinished.
	_ = s.SetRecord(spec.Record)
	return s, nil
}

// maxTries is how many orphans are tried, one after the other, to start a scope with.
const maxTries = 16

// startWithOne starts the unit with one of the orphans, and returns it. systemd can
// refuse a process: one that ends at that moment, and, by systemd 252, one that
// has a line end in its name. The kernel, which is asked for the others, does not.
func (m *Manager) startWithOne(ctx context.Context, spec Spec, orphans []*proc.Handle) (*proc.Handle, error) {
	err := ErrLeft
	tries := 0
	for _, h := range leadersFirst(orphans) {
		if !h.Alive() {
			continue
		}
		if tries++; tries > maxTries {
			break
		}
		if err = m.startUnit(ctx, spec, m.sliceOf(spec.UID), uint32(h.PID)); err == nil {
			return h, nil
		}
		if isUnitExists(err) {
			return nil, ErrUnitExists
		}
		if ctx.Err() != nil || errors.Is(err, ErrNoSystemd) {
			break
		}
	}
	return nil, err
}

// leadersFirst puts those last whose first thread has ended: of one of these systemd
// moves the threads, and neither it nor the kernel then says where the process is.
//
// Source: a look at systemd 257 on Linux 6.18.
func leadersFirst(orphans []*proc.Handle) []*proc.Handle {
	var leaders, others []*proc.Handle
	for _, h := range orphans {
		if stat, err := h.Stat(); err == nil && stat.State == "Z" {
			others = append(others, h)
		} else {
			leaders = append(leaders, h)
		}
	}
	return append(leaders, others...)
}

// findOrphan finds the unit's cgroup by the kernel's word on where its process is,
// and makes sure that it is this one.
func (s *Scope) findOrphan(first *proc.Handle) error {
	where, err := first.Cgroup()
	if err != nil || path.Base(where) != s.unit {
		return ErrLeft
	}
	if err := s.manager.noStranger([]*proc.Handle{first}, where); err != nil {
		return err
	}
	dir, err := s.manager.root.sub(strings.TrimPrefix(where, "/"))
	if err != nil {
		return err
	}
	s.dir = dir
	return nil
}

// Attach moves further orphans of a build that is over into its scope. Those that
// have ended are passed over.
func (s *Scope) Attach(orphans []*proc.Handle) error {
	target, err := s.containers()
	if err != nil {
		return err
	}
	defer target.close()
	if !s.gathered {
		// Above it no process may be: the controllers are enabled there.
		leaf, err := target.ensure("orphans")
		if err != nil {
			return err
		}
		defer leaf.close()
		target = leaf
	}
	for _, h := range orphans {
		if !h.Alive() {
			continue
		}
		if err := target.attach(h.PID); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return s.manager.noStranger(orphans, target.path)
}

// containers opens the cgroup that the build's processes are in or below.
func (s *Scope) containers() (*cgroup, error) {
	if s.gathered {
		return s.dir.sub(".")
	}
	return s.dir.sub(payloadDir)
}
