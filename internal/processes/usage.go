package processes

import (
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Usage is what a build's processes use. What is in a scope the kernel counts itself; of the
// rest, and of what is emulated, it is what a look has found.
type Usage struct {
	Processes int
	CPU       time.Duration
	Arch      []string // that are emulated; not nil
	Cgroup    string   // below the mount

	elsewhere int // processes that were not born in the scope
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
	now.Arch = Architectures(append(s.born(), elsewhere...))
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
