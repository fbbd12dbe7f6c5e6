package watch

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/processes"
)

// History is told of each build that is gone, and of the unit of the system's manager that it
// was started in, if that is known.
type History interface {
	Gone(e api.Ended, startedIn string)
}

// spent is what a build has used, as far as it was looked at while it was there: of
// what is gone the kernel says nothing.
type spent struct {
	mu          sync.Mutex    // lock order: 5
	cpu, before time.Duration // of the scope that it has now, and of those before
	memory      uint64        // the most, in bytes
	oom, oomWas uint64        // processes killed for lack of memory, as cpu and before
	arch        []string
	last        processes.Usage // at the last look
	ended       map[string]int  // processes that were there when its end was begun, by architecture
}

// use remembers what was seen of the build.
func (b *build) use(held processes.Set, cpu time.Duration, arch []string) {
	memory, oom := held.MemoryPeak(), held.OOMKills()
	s := &b.spent
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case cpu >= s.cpu:
		s.cpu = cpu
	case cpu > 0 && held.Scope != nil: // it counts from the beginning: a scope in the place of the one before
		s.before, s.cpu = s.before+s.cpu, cpu
	}
	s.memory = max(s.memory, memory)
	if oom < s.oom && oom > 0 {
		s.oomWas, s.oom = s.oomWas+s.oom, 0
	}
	s.oom = max(s.oom, oom)
	s.sawArch(arch)
}

// cpuTime is what the build has used, if its processes have used so much by their own count:
// that begins anew with another scope.
func (b *build) cpuTime(now time.Duration) time.Duration {
	s := &b.spent
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.before + max(s.cpu, now)
}

func (s *spent) sawArch(names []string) {
	for _, name := range names {
		if name != api.NativeArch && !slices.Contains(s.arch, name) {
			s.arch = append(s.arch, name)
		}
	}
}

// countProcesses remembers which processes are there as the build's end begins.
func (b *build) countProcesses() {
	held := b.processes()
	count := processes.CountByArch(held.PIDs())
	b.use(held, held.CPUTime(), slices.Collect(maps.Keys(count)))
	b.spent.mu.Lock()
	defer b.spent.mu.Unlock()
	b.spent.ended = count
}

// ended is all that is to be told of a build that is gone.
func (b *build) ended() (api.Ended, bool) {
	view, placed := b.view()
	if !placed {
		return api.Ended{}, false
	}
	if held := b.processes(); held.OOMKills() > 0 { // in the last moment, perhaps
		b.use(held, 0, nil)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.spent
	s.mu.Lock()
	defer s.mu.Unlock()
	e := api.Ended{
		ID: view.ID, Name: view.Name, Reason: view.Reason, User: view.User, Mode: view.Mode, Placement: view.Placement,
		Command: view.Owner.Command, OwnerPID: view.Owner.PID, OwnerUnit: view.Owner.Unit,
		Arch: slices.Sorted(slices.Values(s.arch)), Scope: view.Scope,
		CreatedAt: view.CreatedAt, EndedAt: view.EndedAt, DurationSeconds: view.EndedAt.Sub(view.CreatedAt).Seconds(),
		EndingSeconds: max(0, b.tookToEnd()).Seconds(), CPUSeconds: (s.before + s.cpu).Seconds(), MemoryPeakBytes: s.memory, OOMKills: s.oomWas + s.oom,
		ProcessesEnded: map[string]int{}, Rungs: []api.EndedRung{},
	}
	if e.Arch == nil {
		e.Arch = []string{}
	}
	if len(b.ladder) > 0 && s.ended != nil {
		e.ProcessesEnded = s.ended
	}
	if e.Reason == api.ReasonStopped {
		e.AskedBy = b.askedBy
	}
	for _, used := range b.ladder {
		e.Rungs = append(e.Rungs, api.EndedRung{
			Rung: used.Rung, Duration: used.Duration, Survivors: used.Survivors, TimedOut: used.TimedOut,
		})
	}
	if n := len(e.Rungs); n > 0 && !b.remains.stuck.IsZero() {
		e.Survivors = e.Rungs[n-1].Survivors
	}
	return e, true
}
