package cli

import (
	"io"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
)

// endedDetail is what show has of a build that has ended.
func endedDetail(e api.Ended) api.BuildDetail {
	return api.BuildDetail{
		Build: asBuild(e), ProcessTree: []api.Process{}, Ladder: []api.UsedRung{},
		Explanation: api.Explanation{Facts: []api.Fact{}}, End: &e,
	}
}

// writeEndedBlock describes one ended build for a person, as writeBlock does a live one.
func writeEndedBlock(out io.Writer, d api.BuildDetail, now time.Time, width int) error {
	e := *d.End
	r := endedRow{build: e}
	text := block{width: width}
	line := text.line
	line("Build", "%s", r.ID())
	text.known("Name", r.Name())
	line("State", "gone (%s)", r.Reason())
	text.known("Why", history.Why(e))
	line("Created", "%s", r.CreatedAt())
	line("Ended", "%s, %s ago, after %s", r.EndedAt(), humanDuration(now.Sub(e.EndedAt)), r.Duration())
	line("Mode", "%s, %s", r.Mode(), held(e.Placement))
	line("Owner", "%s", r.Owner())
	text.known("In", r.Unit())
	line("User", "%s (%d)", r.User(), r.UID())
	line("Arch", "%s", orNone(r.Arch()))
	line("CPU", "%s", r.CPU())
	if memory := r.MemoryPeak(); memory != "" {
		line("Memory", "%s at most", memory)
	}
	if e.OOMKills > 0 {
		line("OOM", "the kernel killed %d of its processes for lack of memory", e.OOMKills)
	}
	line("Scope", "%s", orNone(r.Scope()))
	if r.Processes() > 0 {
		line("Killed", "%s, in %s", r.ProcessesEnded(), r.Ending())
	}
	text.list("Ladder", each(e.Rungs, describeEndedRung))
	if e.Survivors > 0 {
		line("Survivors", "%d outlived SIGKILL, until the kernel let go of them", e.Survivors)
	}
	text.known("Storage", r.Storage())
	_, err := out.Write(text.Bytes())
	return err
}
