package watch

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Hold is what the ladder and the list need of that by which a build's processes
// are held: a scope that they were born in, processes that were seen elsewhere,
// or both.
type Hold interface {
	Unit() string // empty for one that has no scope
	Cgroup() string
	Kill(context.Context) error
	Stop(context.Context) error
	CgroupKill(context.Context) error
	Busy() (bool, error)
	Starting() bool
	WaitEmpty(context.Context) error
	Members() []scopes.Member
	CPUTime() time.Duration
	// Steps and StepsCPUTime are Members and CPUTime without a client's.
	Steps() []scopes.Member
	StepsCPUTime() time.Duration
	Discard(context.Context)
	Close()
}

// Scope is the scope of a build: a Hold that a container can be born in.
type Scope interface {
	Hold
	CgroupsPath(container string) string
	Carried() string
	Joinable() bool
	Enter(pid int, act func() error, alive func() bool) error
	EnterClient(pid int, act func() error, alive func() bool) error
	Holds(cgroup string) bool
	Keepers() []scopes.Member
	KillContainers(context.Context) error
	SignalClient(signal unix.Signal, spare func(*proc.Handle) bool) error
	// Attach moves processes in that were elsewhere, of a build that is over.
	Attach([]*proc.Handle) error
}

// hold is what the build is held by, nil for a build of which nothing was seen
// yet. It is called with the lock.
func (b *build) hold() Hold {
	switch {
	case b.scope == nil && b.seen == nil:
		return nil
	case b.seen == nil:
		return b.scope
	case b.scope == nil:
		return b.seen
	}
	return both{b.scope, b.seen}
}

// held is hold for who has not the lock.
func (b *build) held() Hold {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.hold()
}

// both holds a build some of whose steps did not come through the wrapper: the
// daemon was away for them.
type both struct {
	Hold // the scope; what it is called stands for all
	seen Hold
}

// each calls act on both at once: what one of them can't end does not keep the other
// from being ended.
func (h both) each(act func(Hold) error) error {
	var ending sync.WaitGroup
	var err error
	ending.Go(func() { err = act(h.seen) })
	placedErr := act(h.Hold)
	ending.Wait()
	return errors.Join(err, placedErr)
}

// Kill is first for what was seen: orphans are gathered into the scope, and are to be
// in it when that is killed. What can't be ended leaves half of the time.
func (h both) Kill(ctx context.Context) error {
	half, cancel := halfOf(ctx)
	defer cancel()
	err := h.seen.Kill(half)
	if half.Err() != nil {
		err = nil // the rung's own time decides
	}
	return errors.Join(err, h.Hold.Kill(ctx))
}

func (h both) Stop(ctx context.Context) error {
	return h.each(func(held Hold) error { return held.Stop(ctx) })
}

func (h both) CgroupKill(ctx context.Context) error {
	return h.each(func(held Hold) error { return held.CgroupKill(ctx) })
}

func (h both) Starting() bool           { return h.Hold.Starting() || h.seen.Starting() }
func (h both) CPUTime() time.Duration   { return h.Hold.CPUTime() + h.seen.CPUTime() }
func (h both) Members() []scopes.Member { return append(h.Hold.Members(), h.seen.Members()...) }

func (h both) Steps() []scopes.Member      { return append(h.Hold.Steps(), h.seen.Steps()...) }
func (h both) StepsCPUTime() time.Duration { return h.Hold.StepsCPUTime() + h.seen.StepsCPUTime() }

func (h both) Busy() (bool, error) {
	placed, err := h.Hold.Busy()
	seen, seenErr := h.seen.Busy()
	return placed || seen, errors.Join(err, seenErr)
}

func (h both) WaitEmpty(ctx context.Context) error {
	return errors.Join(h.Hold.WaitEmpty(ctx), h.seen.WaitEmpty(ctx))
}

func (h both) Discard(ctx context.Context) {
	h.seen.Discard(ctx)
	h.Hold.Discard(ctx)
}

func (h both) Close() {
	h.seen.Close()
	h.Hold.Close()
}
