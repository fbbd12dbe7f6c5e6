package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// placeholder is one of --format's.
type placeholder struct{ name, heading, help string }

// placeholders are what --format can show of a build, each a method of row. The
// names are stable, as those of the JSON documents are.
var placeholders = []placeholder{
	{"ID", "ID", "the build's ID"},
	{"Name", "NAME", "the name that it was given by run --name; empty without"},
	{"Label", "NAME", "Name, or else Unit without its type"},
	{"Status", "STATE", "State; of a build that is gone, Reason"},
	{"State", "STATE", "where it stands, see below"},
	{"Reason", "REASON", "why it came to its end, see below; empty while it runs"},
	{"StateSince", "STATE SINCE", "when it came to its state, as RFC 3339"},
	{"Reported", "REPORTED", "true if it is abandoned and by the policy only reported"},
	{"Refusing", "REFUSING", "true if it is to end and no RUN step runs: its next one is refused"},
	{"Mode", "MODE", "how it was started, see below"},
	{"Placement", "PLACEMENT", "how it is held, see below"},
	{"CreatedAt", "CREATED AT", "when its first RUN step, or run, began, as RFC 3339"},
	{"EndedAt", "ENDED AT", "when its last process was gone; empty before"},
	{"StalledSince", "STALLED SINCE", "while it is stalled, since when nothing of it has moved"},
	{"Age", "AGE", "the time since CreatedAt"},
	{"OwnerPID", "OWNER PID", "the process that it belongs to"},
	{"OwnerCommand", "OWNER COMMAND", "program and verb of that process"},
	{"Owner", "OWNER", "OwnerPID and OwnerCommand"},
	{"Unit", "UNIT", "the systemd unit that this was started in"},
	{"User", "USER", "whose it is: the name, or the UID where there is none"},
	{"UID", "UID", "whose it is, as a number"},
	{"Arch", "ARCH", "emulated architectures that run now, with commas between"},
	{"Processes", "PROCS", "number of processes in its RUN containers; under run, of all of it"},
	{"CPU", "CPU", "CPU time of the same so far"},
	{"Scope", "SCOPE", "its systemd unit"},
	{"Cgroup", "CGROUP", "its cgroup, below the cgroup mount"},
}

// headingsOf maps placeholders to the headings of their columns. Its values are of
// any type so that a template may also range over what is no column.
func headingsOf(all []placeholder) map[string]any {
	m := make(map[string]any, len(all))
	for _, p := range all {
		m[p.name] = p.heading
	}
	return m
}

// Widths beyond which a table's cells are cut unless --no-trunc is given. ID and
// scope are never cut: people paste them.
const (
	ownerWidth = 30
	userWidth  = 16
	archWidth  = 20
)

// row is one build for a template.
type row struct {
	build api.Build
	now   time.Time
	table bool // empty values are shown as "-", so that every column has a word
	cut   bool // long values are cut
}

// text makes a string of anybody's fit to be shown.
func (r row) text(s string) string { return r.fit(quote(s), 0) }

// fit makes a string that is fit to be shown fit its place: at most width wide,
// unless width is 0.
func (r row) fit(s string, width int) string {
	switch {
	case s == "" && r.table:
		return "-"
	case r.cut && width > 0:
		return shorten(s, width)
	}
	return s
}

// held says how the build is held.
func (r row) held() string { return held(r.build.Placement) }

func held(p api.Placement) string {
	switch p {
	case api.PlacementScope:
		return "held by its scope"
	case api.PlacementObserved:
		return "observed where it is"
	}
	return "held by " + orNone(quote(string(p)))
}

// The methods below are the placeholders.

func (r row) ID() string           { return r.text(r.build.ID) }
func (r row) Name() string         { return r.text(r.build.Name) }
func (r row) Label() string        { return r.text(label(r.build.Name, r.build.Owner.Unit)) }
func (r row) Unit() string         { return r.text(r.build.Owner.Unit) }
func (r row) State() string        { return r.text(string(r.build.State)) }
func (r row) Reason() string       { return r.text(string(r.build.Reason)) }
func (r row) StateSince() string   { return r.text(timestamp(r.build.StateSince)) }
func (r row) Reported() bool       { return r.build.Reported }
func (r row) Refusing() bool       { return r.build.Refusing }
func (r row) Mode() string         { return r.text(string(r.build.Mode)) }
func (r row) Placement() string    { return r.text(string(r.build.Placement)) }
func (r row) CreatedAt() string    { return r.text(timestamp(r.build.CreatedAt)) }
func (r row) EndedAt() string      { return r.text(timestamp(r.build.EndedAt)) }
func (r row) StalledSince() string { return r.text(timestamp(r.build.StalledSince)) }
func (r row) Age() string          { return humanDuration(r.now.Sub(r.build.CreatedAt)) }
func (r row) OwnerPID() int        { return r.build.Owner.PID }
func (r row) OwnerCommand() string { return r.fit(quote(r.build.Owner.Command), ownerWidth) }
func (r row) User() string         { return r.fit(quote(userName(r.build.User)), userWidth) }
func (r row) UID() uint32          { return r.build.User.UID }
func (r row) Processes() int       { return r.build.Processes }
func (r row) CPU() string          { return humanCPU(r.build.CPUSeconds) }
func (r row) Scope() string        { return r.text(r.build.Scope) }
func (r row) Cgroup() string       { return r.text(r.build.Cgroup) }

// label tells builds apart: the name that one was given, or else what it was started in.
func label(name, unit string) string {
	return cmp.Or(name, strings.TrimSuffix(strings.TrimSuffix(unit, ".service"), ".scope"))
}

func (r row) Status() string {
	if r.build.State == api.StateGone {
		return r.Reason()
	}
	return r.State()
}

// stateAndReason is the state, with the reason if there is one.
func (r row) stateAndReason() string {
	if reason := r.Reason(); reason != "" {
		return r.State() + " (" + reason + ")"
	}
	return r.State()
}

func (r row) Owner() string {
	return r.fit(fmt.Sprintf("%d %s", r.build.Owner.PID, quote(r.build.Owner.Command)), ownerWidth)
}

func (r row) Arch() string {
	return r.fit(strings.Join(each(r.build.Arch, quote), ","), archWidth)
}

// MarshalJSON makes {{json .}} the document that --json shows.
func (r row) MarshalJSON() ([]byte, error) { return json.Marshal(r.build) }

func helpOn(all []placeholder) string {
	return glossary(each(all, func(p placeholder) [2]string { return [2]string{"." + p.name, p.help} }))
}

func userName(u api.User) string {
	return cmp.Or(u.Name, strconv.FormatUint(uint64(u.UID), 10))
}
