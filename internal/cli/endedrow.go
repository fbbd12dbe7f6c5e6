package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// endedPlaceholders are what history's --format can show of an ended build, each a
// method of endedRow. Those that list has too mean the same.
var endedPlaceholders = []placeholder{
	{"ID", "ID", "the build's ID"},
	{"Name", "NAME", "the name that it was given by run --name; empty without"},
	{"Label", "NAME", "Name, or else Unit without its type"},
	{"Reason", "REASON", "why it came to its end"},
	{"AskedBy", "ASKED BY", "the UID of who asked for that; empty where nobody did"},
	{"Ended", "ENDED", "when its last process was gone, for people"},
	{"EndedAt", "ENDED AT", "the same, as RFC 3339"},
	{"CreatedAt", "CREATED AT", "when its first RUN step, or run, began, as RFC 3339"},
	{"Duration", "LASTED", "from the one to the other"},
	{"Ending", "ENDED IN", "from the fact that ended it to its last process gone"},
	{"OwnerPID", "OWNER PID", "the process that it belonged to"},
	{"OwnerCommand", "COMMAND", "program and verb of that process"},
	{"Owner", "OWNER", "OwnerPID and OwnerCommand"},
	{"Unit", "UNIT", "the systemd unit that this was started in"},
	{"User", "USER", "whose it was: the name, or the UID where there is none"},
	{"UID", "UID", "whose it was, as a number"},
	{"Mode", "MODE", "how it was started: local, api, run or unknown"},
	{"Placement", "PLACEMENT", "how it was held: scope or observed"},
	{"Arch", "ARCH", "emulated architectures that were seen, with commas between"},
	{"CPU", "CPU", "CPU time of all its processes"},
	{"MemoryPeak", "MEMORY", "the most memory that it had at once; empty where that is not known"},
	{"Processes", "KILLED", "how many processes were there when its end was begun"},
	{"ProcessesEnded", "PROCESSES", "the same by architecture"},
	{"Rungs", "RUNGS", "rungs of the ladder that were used, with their time"},
	{"Survivors", "SURVIVORS", "how many processes outlived SIGKILL"},
	{"Scope", "SCOPE", "its systemd unit"},
	{"Storage", "STORAGE", "what became of what it had left in storage; empty where that was nothing"},
}

// endedRow is one ended build for a template.
type endedRow struct {
	build api.Ended
	table bool // see row
}

func (r endedRow) text(s string) string { return row{table: r.table}.text(s) }

// The methods below are the placeholders.

func (r endedRow) ID() string           { return r.text(r.build.ID) }
func (r endedRow) Name() string         { return r.text(r.build.Name) }
func (r endedRow) Label() string        { return r.text(label(r.build.Name, r.build.OwnerUnit)) }
func (r endedRow) Reason() string       { return r.text(string(r.build.Reason)) }
func (r endedRow) EndedAt() string      { return r.text(timestamp(r.build.EndedAt)) }
func (r endedRow) CreatedAt() string    { return r.text(timestamp(r.build.CreatedAt)) }
func (r endedRow) Duration() string     { return humanDuration(inSeconds(r.build.DurationSeconds)) }
func (r endedRow) Ending() string       { return humanStep(inSeconds(r.build.EndingSeconds)) }
func (r endedRow) OwnerPID() int        { return r.build.OwnerPID }
func (r endedRow) OwnerCommand() string { return r.text(r.build.Command) }
func (r endedRow) Unit() string         { return r.text(r.build.OwnerUnit) }
func (r endedRow) User() string         { return r.text(userName(r.build.User)) }
func (r endedRow) UID() uint32          { return r.build.User.UID }
func (r endedRow) Mode() string         { return r.text(string(r.build.Mode)) }
func (r endedRow) Placement() string    { return r.text(string(r.build.Placement)) }
func (r endedRow) Arch() string         { return r.text(strings.Join(r.build.Arch, ",")) }
func (r endedRow) CPU() string          { return humanCPU(r.build.CPUSeconds) }
func (r endedRow) Survivors() int       { return r.build.Survivors }
func (r endedRow) Scope() string        { return r.text(r.build.Scope) }

func (r endedRow) Storage() string {
	if r.build.Reclaimed == nil {
		return r.text("")
	}
	return r.text(describeStorage(*r.build.Reclaimed))
}

func (r endedRow) Owner() string {
	return fmt.Sprintf("%d %s", r.build.OwnerPID, quote(r.build.Command))
}

func (r endedRow) Ended() string {
	if r.build.EndedAt.IsZero() {
		return r.text("")
	}
	return r.build.EndedAt.Local().Format("Jan _2 15:04")
}

func (r endedRow) AskedBy() string {
	if r.build.AskedBy == nil {
		return r.text("")
	}
	return strconv.FormatUint(uint64(*r.build.AskedBy), 10)
}

func (r endedRow) MemoryPeak() string { return r.text(humanBytes(r.build.MemoryPeakBytes)) }

func (r endedRow) Processes() int {
	total := 0
	for _, n := range r.build.ProcessesEnded {
		total += n
	}
	return total
}

func (r endedRow) ProcessesEnded() string {
	var words []string
	for _, arch := range slices.Sorted(maps.Keys(r.build.ProcessesEnded)) {
		words = append(words, fmt.Sprintf("%d %s", r.build.ProcessesEnded[arch], arch))
	}
	return r.text(strings.Join(words, ", "))
}

func (r endedRow) Rungs() string {
	return r.text(strings.Join(each(r.build.Rungs, describeEndedRung), "; "))
}

func describeEndedRung(rung api.EndedRung) string {
	used := rungRow{api.UsedRung{Rung: rung.Rung, Duration: rung.Duration, TimedOut: rung.TimedOut, Survivors: rung.Survivors}}
	return fmt.Sprintf("%s %s", rung.Rung, used.outcome())
}

// MarshalJSON makes {{json .}} the document that --json shows.
func (r endedRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.build) }

func inSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// asBuild is an ended build as list shows it.
func asBuild(e api.Ended) api.Build {
	return api.Build{
		BuildHead: api.BuildHead{
			ID: e.ID, Name: e.Name, State: api.StateGone, StateSince: e.EndedAt, Reason: e.Reason, Mode: e.Mode, Placement: e.Placement,
			CreatedAt: e.CreatedAt, EndedAt: e.EndedAt, User: e.User, Scope: e.Scope,
			Owner: api.Owner{PID: e.OwnerPID, Command: e.Command, Exited: true, Unit: e.OwnerUnit},
		},
		Arch: e.Arch, CPUSeconds: e.CPUSeconds,
	}
}
