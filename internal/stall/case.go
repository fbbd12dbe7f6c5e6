package stall

import (
	"context"
	"fmt"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Sampler tells what processes wait in: a Reader.
type Sampler interface {
	Sample(ctx context.Context, uid uint32, pids []int) Sample
}

// Case watches one build of a user. It is used by one goroutine.
type Case struct {
	sampler Sampler
	uid     uint32
	tracker Tracker
}

// NewCase has seen nothing of the build.
func NewCase(s Sampler, uid uint32) *Case { return &Case{sampler: s, uid: uid} }

// Look takes in the CPU time that the build's RUN steps have used and, only if that has not
// moved, what their processes wait in. It returns since when the build hangs, if it has
// done so for the time after, and what of it hangs, for people.
func (c *Case) Look(ctx context.Context, now time.Time, after, cpu time.Duration, pids func() []int) (since time.Time, hung []string) {
	since, found := c.tracker.Look(now, cpu, after, func() Sample { return c.sampler.Sample(ctx, c.uid, pids()) })
	for _, p := range found {
		hung = append(hung, p.String())
	}
	return since, hung
}

// Forget forgets what was seen.
func (c *Case) Forget() { c.tracker = Tracker{} }

// String is for people.
func (p Process) String() string {
	arch := p.Arch
	if p.Emulator == proc.Rosetta {
		arch += " by Rosetta"
	}
	return fmt.Sprintf("%d %q (%s, %d threads)", p.PID, p.Command, arch, len(p.Threads))
}
