// Package processes acts on a build's processes, by whatever they are held: the scope
// that they were born in, or descriptors of those that were seen elsewhere. It signals,
// gathers, freezes and removes, and measures what is there. It decides nothing: neither
// when a build is over, nor what is done next.
package processes

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// Killer ends processes, by one means after the other.
type Killer interface {
	Kill(context.Context) error
	Stop(context.Context) error
	CgroupKill(context.Context) error
}

// Meter says which processes there are, and what time they have used.
type Meter interface {
	Members() []scopes.Member
	CPUTime() time.Duration
	// Steps and StepsCPUTime are Members and CPUTime without a command's.
	Steps() []scopes.Member
	StepsCPUTime() time.Duration
}

// Door is how processes come in.
type Door interface {
	Joinable() bool
	CgroupsPath(container string) string
	Enter(pid int, act func() error, alive func() bool) error
	EnterCommand(pid int, act func() error, alive func() bool) error
	// Attach moves processes in that were elsewhere, of a build that is over.
	Attach([]*proc.Handle) error
}

// Part holds some of a build's processes, or all of them.
type Part interface {
	Killer
	Meter
	Unit() string // empty for one that has no scope
	Cgroup() string
	Busy() (bool, error)
	Starting() bool
	WaitEmpty(context.Context) error
	Discard(context.Context)
	Close()
}

// Scope is the scope of a build: package scopes.
type Scope interface {
	Part
	Door
	Bounded() *api.Limits
	SetRecord([]byte) error
	Holds(cgroup string) bool
	Keepers() []scopes.Member
	MemoryPeak() uint64
	Memory() uint64
	IO() (read, written uint64, known bool)
	OOMKills() uint64
	Shortage(scopes.Resource) scopes.Shortage
	AwaitShortage(ctx context.Context, r scopes.Resource, known uint64) (scopes.Shortage, error)
	KillContainers(context.Context) error
	KillContainer(ctx context.Context, container string) error
	SignalCommand(signal unix.Signal, spare func(*proc.Handle) bool) error
}

// Set is all that a build's processes are held by. The zero value holds none, and can
// be told to end them.
type Set struct {
	Scope    Scope     // nil until the first container is placed
	Unplaced *Unplaced // nil unless a step did not come through the wrapper
}

// None reports whether there never was a process.
func (s Set) None() bool { return s.Scope == nil && s.Unplaced == nil }

// parts are those that there are, that first by whose name the build is called.
func (s Set) parts() []Part {
	var parts []Part
	if s.Scope != nil {
		parts = append(parts, s.Scope)
	}
	if s.Unplaced != nil {
		parts = append(parts, s.Unplaced)
	}
	return parts
}

// Unit is the name of the build's scope; empty where there is none.
func (s Set) Unit() string {
	for _, part := range s.parts() {
		return part.Unit()
	}
	return ""
}

// Cgroup is where the build is, below the mount.
func (s Set) Cgroup() string {
	for _, part := range s.parts() {
		return part.Cgroup()
	}
	return ""
}

// each calls act on all parts at once: what one of them can't end does not keep the
// others from being ended.
func (s Set) each(act func(Part) error) error {
	parts := s.parts()
	failed := make([]error, len(parts))
	var ending sync.WaitGroup
	for i, part := range parts {
		ending.Go(func() { failed[i] = act(part) })
	}
	ending.Wait()
	return errors.Join(failed...)
}

// Kill is first for what was seen elsewhere: orphans are gathered into the scope, and
// are to be in it when that is killed. What can't be ended leaves half of the time.
func (s Set) Kill(ctx context.Context) error {
	switch {
	case s.Unplaced == nil && s.Scope == nil:
		return nil
	case s.Unplaced == nil:
		return s.Scope.Kill(ctx)
	case s.Scope == nil:
		return s.Unplaced.Kill(ctx)
	}
	half, cancel := halfOf(ctx)
	defer cancel()
	err := s.Unplaced.Kill(half)
	if half.Err() != nil {
		err = nil // the rung's own time decides
	}
	return errors.Join(err, s.Scope.Kill(ctx))
}

// Stop stops the scopes.
func (s Set) Stop(ctx context.Context) error {
	return s.each(func(p Part) error { return p.Stop(ctx) })
}

// CgroupKill ends all by the kernel's own means.
func (s Set) CgroupKill(ctx context.Context) error {
	return s.each(func(p Part) error { return p.CgroupKill(ctx) })
}

// Look looks at what is not in a scope, once for all steps. It takes time.
func (s Set) Look() {
	if s.Unplaced != nil {
		s.Unplaced.look()
	}
}

// Busy looks, and reports whether a process is there. It takes time.
func (s Set) Busy() (bool, error) {
	s.Look()
	return s.BusyAsSeen()
}

// BusyAsSeen is Busy without a look: by the kernel's word for a scope, and by the last look
// for what is elsewhere.
func (s Set) BusyAsSeen() (busy bool, err error) {
	for _, part := range s.parts() {
		is, problem := part.Busy()
		busy, err = busy || is, errors.Join(err, problem)
	}
	return busy, err
}

// Starting reports whether a container is being made.
func (s Set) Starting() bool {
	for _, part := range s.parts() {
		if part.Starting() {
			return true
		}
	}
	return false
}

// WaitEmpty returns nil once no process is left, or an error of one of the parts.
func (s Set) WaitEmpty(ctx context.Context) error {
	var err error
	for _, part := range s.parts() {
		err = errors.Join(err, part.WaitEmpty(ctx))
	}
	return err
}

// Members lists the build's processes.
func (s Set) Members() []scopes.Member {
	var all []scopes.Member
	for _, part := range s.parts() {
		all = append(all, part.Members()...)
	}
	return all
}

// PIDs lists the build's processes by their numbers.
func (s Set) PIDs() []int { return pids(s.Members()) }

// Steps lists those of the RUN steps.
func (s Set) Steps() []int {
	var all []scopes.Member
	for _, part := range s.parts() {
		all = append(all, part.Steps()...)
	}
	return pids(all)
}

func pids(members []scopes.Member) []int {
	numbers := make([]int, len(members))
	for i, m := range members {
		numbers[i] = m.PID
	}
	return numbers
}

// CPUTime is what the build's processes have used so far.
func (s Set) CPUTime() (used time.Duration) {
	for _, part := range s.parts() {
		used += part.CPUTime()
	}
	return used
}

// StepsCPUTime is what those of the RUN steps have used.
func (s Set) StepsCPUTime() (used time.Duration) {
	for _, part := range s.parts() {
		used += part.StepsCPUTime()
	}
	return used
}

// MemoryPeak is the most memory that the scope had at once, in bytes; 0 where there is
// none, or the kernel does not say.
func (s Set) MemoryPeak() uint64 {
	if s.Scope == nil {
		return 0
	}
	return s.Scope.MemoryPeak()
}

// Memory is what the scope has now, likewise.
func (s Set) Memory() uint64 {
	if s.Scope == nil {
		return 0
	}
	return s.Scope.Memory()
}

// IO is how much the scope has read from disks and written to them, in bytes; not known
// where there is none, or the kernel does not say.
func (s Set) IO() (read, written uint64, known bool) {
	if s.Scope == nil {
		return 0, 0, false
	}
	return s.Scope.IO()
}

// OOMKills is how many of the scope's processes were killed for lack of memory.
func (s Set) OOMKills() uint64 {
	if s.Scope == nil {
		return 0
	}
	return s.Scope.OOMKills()
}

// Discard stops scopes that are empty.
func (s Set) Discard(ctx context.Context) {
	if s.Unplaced != nil {
		s.Unplaced.Discard(ctx)
	}
	if s.Scope != nil {
		s.Scope.Discard(ctx)
	}
}

// Close lets go of the processes, which live on.
func (s Set) Close() {
	for _, part := range s.parts() {
		part.Close()
	}
}

// What a build may be short of, and was: package scopes.
type (
	Resource = scopes.Resource
	Shortage = scopes.Shortage
)

// Every resource.
const (
	Memory = scopes.Memory
	Tasks  = scopes.Tasks
)
