package processes

import (
	"context"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/survivors"
)

// Examiner finds out what processes that SIGKILL did not end wait for, and frees
// them: package survivors.
type Examiner interface {
	Open(uid uint32) Inspection
	ServedRoots(ctx context.Context, pids []int) ([]uint32, error)
	Helpers(ctx context.Context, uid uint32, builders []proc.Identity, roots []uint32) ([]Helper, error)
}

// Inspection is the examiner's memory of one build. It is used by one goroutine at a time.
type Inspection interface {
	Look(ctx context.Context, left survivors.Remains) survivors.Report
	Free(ctx context.Context, left survivors.Remains) survivors.Report
}

// Survivors are a build's processes that SIGKILL did not end. It is used by one goroutine
// at a time.
type Survivors struct{ inspection Inspection }

// NewSurvivors are those of a build of the UID.
func NewSurvivors(examiner Examiner, uid uint32) *Survivors {
	return &Survivors{examiner.Open(uid)}
}

// Remains are what a look at the survivors has found. They do not change.
type Remains struct {
	Left      int // processes of the build
	processes map[int]survivors.Process
	since     map[int]time.Time // by PID: the first look that found it
}

// Freed is a FUSE connection that survivors waited for, and that was aborted.
type Freed struct {
	Connection uint32
	Waited     string // where it was mounted, and by whom it was served
}

// Look looks at what is left of a build; before is what the last look has found. builders
// are processes that work for the build alone. With free it aborts the FUSE connections
// that may be, as well.
func (s *Survivors) Look(ctx context.Context, of Set, builders []int, before Remains, free bool) (Remains, []Freed) {
	left := survivors.Remains{PIDs: of.PIDs(), Builders: builders}
	if len(left.PIDs) == 0 {
		return before, nil
	}
	look := s.inspection.Look
	if free {
		look = s.inspection.Free
	}
	report := look(ctx, left)
	now := Remains{Left: len(left.PIDs), processes: report.Processes, since: map[int]time.Time{}}
	for pid := range report.Processes {
		now.since[pid] = time.Now()
		if first, ok := before.since[pid]; ok {
			now.since[pid] = first
		}
	}
	var freed []Freed
	for _, number := range report.Aborted {
		freed = append(freed, Freed{number, now.waited(number)})
	}
	return now, freed
}

func (r Remains) waited(connection uint32) string {
	for _, p := range r.processes {
		for _, w := range p.Waits {
			if w.Connection == connection {
				return w.String()
			}
		}
	}
	return "it is no longer waited for"
}

// Known is how many of the processes were looked at.
func (r Remains) Known() int { return len(r.processes) }

// Count adds the processes to a count by what they wait for.
func (r Remains) Count(waits map[api.WaitKind]int) {
	for _, p := range r.processes {
		waits[api.KindOfWait(p.Waits)]++
	}
	waits[api.WaitOther] += max(0, r.Left-len(r.processes))
}

// AddTo adds to a survivor what is known of it.
func (r Remains) AddTo(p *api.Process) {
	if found, ok := r.processes[p.PID]; ok {
		p.State, p.WChan, p.Waits, p.Since = found.State, found.WChan, found.Waits, r.since[p.PID]
	}
}
