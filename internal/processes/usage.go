package processes

import (
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// Usage is what a build's processes use. What is in a scope the kernel counts itself; of the
// rest, and of what is emulated, it is what a look has found.
type Usage struct {
	Processes int
	CPU       time.Duration
	Arch      []string // that are emulated; not nil
	Cgroup    string   // below the mount

	byArch    map[string]int // processes at the look
	elsewhere int            // processes that were not born in the scope
	cpu       time.Duration
}

// Measure looks at the processes.
func (s Set) Measure() Usage {
	var look Usage
	var elsewhere []int
	if s.Unplaced != nil {
		known := s.Unplaced.known()
		look.elsewhere, look.cpu = len(known), cpuTime(known)
		look.Cgroup = s.Unplaced.Cgroup()
		for _, h := range known {
			elsewhere = append(elsewhere, h.PID)
		}
	}
	now := s.Since(look)
	now.byArch = sampleArch(append(s.born(), elsewhere...))
	now.Arch = []string{}
	for arch := range now.byArch {
		if arch != api.NativeArch {
			now.Arch = append(now.Arch, arch)
		}
	}
	slices.Sort(now.Arch)
	return now
}

// Since is a look, brought up to date without looking at a process.
func (s Set) Since(look Usage) Usage {
	now := look
	now.Processes, now.CPU = look.elsewhere, look.cpu
	if s.Scope != nil {
		now.Processes += len(s.Scope.Members())
		now.CPU += s.Scope.CPUTime()
	}
	if s.Scope != nil || s.Unit() != "" {
		now.Cgroup = s.Cgroup()
	}
	if now.Processes == 0 || now.Arch == nil {
		now.Arch = []string{}
	}
	return now
}

// ByArch is how many of the processes there are of each architecture, as far as the look
// has told: what has come since is taken for native.
func (u Usage) ByArch() map[string]int {
	count, left := map[string]int{}, u.Processes
	for _, arch := range u.Arch {
		count[arch] = min(u.byArch[arch], left)
		left -= count[arch]
	}
	count[api.NativeArch] = left
	return count
}

// Elsewhere reports whether the look has found processes that were not born in the scope.
func (u Usage) Elsewhere() bool { return u.elsewhere > 0 }

// born lists the processes of the scope.
func (s Set) born() []int {
	if s.Scope == nil {
		return nil
	}
	return pids(s.Scope.Members())
}

// cpuTime is what processes have used.
func cpuTime(of []*proc.Handle) (used time.Duration) {
	for _, h := range of {
		if stat, err := h.Stat(); err == nil {
			used += time.Duration(stat.CPUTime() * float64(time.Second))
		}
	}
	return used
}
