package cli

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// detailRow is one build for a template of the show verb: a row, and two lists
// to range over.
type detailRow struct {
	row
	detail api.BuildDetail
}

// detailHelp describes the placeholders that a detailRow has beyond a row's.
const detailHelp = `  .ProcessTree   its processes, parents before children:
                 {{range .ProcessTree}} with .PID .PPID .Command .Exe
                 .Arch .Emulator .State .WChan .Cgroup .Survivor and of
                 survivors .Since .Waits
  .Ladder        the rungs used to end it: {{range .Ladder}} with
                 .Rung .StartedAt .Duration .TimedOut .Survivors .Error
  .Verdict       what is done with it, and why
  .ChangesWhen   what would have to happen for that to change
  .Facts         what that rests on: {{range .Facts}} with
                 .Name .Value .Since .Source .Decides
`

// ProcessTree is a placeholder.
func (r detailRow) ProcessTree() []processRow {
	return each(r.detail.ProcessTree, func(p api.Process) processRow { return processRow{p} })
}

// Ladder is a placeholder.
func (r detailRow) Ladder() []rungRow {
	return each(r.detail.Ladder, func(used api.UsedRung) rungRow { return rungRow{used} })
}

// Verdict is a placeholder.
func (r detailRow) Verdict() string { return quote(why(r.detail.Explanation)) }

// ChangesWhen is a placeholder.
func (r detailRow) ChangesWhen() string {
	return quote(until(r.detail.Explanation, r.detail.State.Wanted()))
}

// Facts is a placeholder.
func (r detailRow) Facts() []factRow {
	return each(r.detail.Facts, func(f api.Fact) factRow { return factRow{f} })
}

// MarshalJSON makes {{json .}} the document that --json shows.
func (r detailRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.detail) }

type processRow struct{ process api.Process }

func (r processRow) PID() int                     { return r.process.PID }
func (r processRow) PPID() int                    { return r.process.PPID }
func (r processRow) Command() string              { return quote(r.process.Command) }
func (r processRow) Exe() string                  { return quote(r.process.Exe) }
func (r processRow) Arch() string                 { return quote(r.process.Arch) }
func (r processRow) Emulator() string             { return quote(r.process.Emulator) }
func (r processRow) State() string                { return quote(r.process.State) }
func (r processRow) WChan() string                { return quote(r.process.WChan) }
func (r processRow) Cgroup() string               { return quote(r.process.Cgroup) }
func (r processRow) Survivor() bool               { return r.process.Survivor }
func (r processRow) Since() string                { return timestamp(r.process.Since) }
func (r processRow) Waits() string                { return api.DescribeWaits(r.process.Waits) }
func (r processRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.process) }

type rungRow struct{ used api.UsedRung }

func (r rungRow) Rung() string                 { return quote(string(r.used.Rung)) }
func (r rungRow) StartedAt() string            { return timestamp(r.used.StartedAt) }
func (r rungRow) Duration() string             { return humanStep(time.Duration(r.used.Duration)) }
func (r rungRow) TimedOut() bool               { return r.used.TimedOut }
func (r rungRow) Survivors() int               { return r.used.Survivors }
func (r rungRow) Error() string                { return quote(r.used.Error) }
func (r rungRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.used) }

// outcome says how long the rung took, and what it has left.
func (r rungRow) outcome() string {
	text := r.Duration()
	if r.TimedOut() {
		text += ", ran out of time"
	}
	if n := r.Survivors(); n > 0 {
		text += fmt.Sprintf(", left %d", n)
	}
	if r.Error() != "" {
		text += ", " + r.Error()
	}
	return text
}

type factRow struct{ fact api.Fact }

func (r factRow) Name() string                 { return quote(string(r.fact.Name)) }
func (r factRow) Value() string                { return quote(describeFact(r.fact)) }
func (r factRow) Since() string                { return timestamp(r.fact.Since) }
func (r factRow) Source() string               { return quote(string(r.fact.Source)) }
func (r factRow) Decides() string              { return quote(string(r.fact.Decides)) }
func (r factRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.fact) }
