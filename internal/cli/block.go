package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// labelWidth is that of the widest label of a block.
const labelWidth = 9

// lines returns what writes one labelled line of a block, no wider than that.
func lines(to *bytes.Buffer, width int) func(label, format string, args ...any) {
	return func(label, format string, args ...any) {
		fmt.Fprintf(to, "%*s: %s\n", labelWidth, label, wrap(fmt.Sprintf(format, args...), labelWidth+2, width))
	}
}

// writeBlock describes one build for a person, as systemctl status does a unit.
func writeBlock(out io.Writer, d api.BuildDetail, now time.Time, width int) error {
	r := row{build: d.Build, now: now}
	var text bytes.Buffer
	line := lines(&text, width)
	line("Build", "%s", r.ID())
	if name := r.Name(); name != "" {
		line("Name", "%s", name)
	}
	if reason := r.Reason(); reason != "" {
		line("State", "%s (%s)", r.State(), reason)
	} else {
		line("State", "%s", r.State())
	}
	if since := d.StalledSince; !since.IsZero() {
		line("Stalled", "since %s, for %s", r.StalledSince(), humanDuration(now.Sub(since)))
	}
	if d.Verdict != "" {
		line("Why", "%s", oneLine(why(d.Explanation)))
		line("Until", "%s", oneLine(until(d.Explanation, d.State.Wanted())))
	}
	for i, remedy := range remedies(d) {
		label := "To do"
		if i > 0 {
			label = ""
		}
		line(label, "%s", remedy)
	}
	for i, fact := range d.Facts {
		label := "Known"
		if i > 0 {
			label = ""
		}
		line(label, "%s", explainFact(factRow{fact}))
	}
	line("Mode", "%s, %s", r.Mode(), r.held())
	line("Created", "%s, %s ago", r.CreatedAt(), r.Age())
	if !d.EndedAt.IsZero() {
		line("Ended", "%s, after %s", r.EndedAt(), humanDuration(d.EndedAt.Sub(d.CreatedAt)))
	}
	exited := ""
	if d.Owner.Exited {
		exited = " (exited)"
	}
	line("Owner", "%s%s", r.Owner(), exited)
	line("User", "%s (%d)", r.User(), r.UID())
	line("Arch", "%s", orNone(r.Arch()))
	line("CPU", "%s", r.CPU())
	line("Scope", "%s", orNone(r.Scope()))
	line("Cgroup", "%s", orNone(r.Cgroup()))
	for i, rung := range d.Ladder {
		label := "Ladder"
		if i > 0 {
			label = ""
		}
		used := rungRow{rung}
		line(label, "%s at %s, %s", used.Rung(), used.StartedAt(), used.outcome())
	}
	line("Processes", "%d", r.Processes())
	if _, err := out.Write(text.Bytes()); err != nil {
		return err
	}
	margin := strings.Repeat(" ", labelWidth+2)
	if err := writeTree(out, margin, d.ProcessTree, width); err != nil {
		return err
	}
	if d.ProcessesOmitted > 0 {
		if _, err := fmt.Fprintf(out, "%sand %d more\n", margin, d.ProcessesOmitted); err != nil {
			return err
		}
	}
	return writeSurvivors(out, d.ProcessTree, width)
}

func explainFact(f factRow) string {
	text := fmt.Sprintf("%s: %s", f.Name(), f.Value())
	where := "now"
	if since := f.Since(); since != "" {
		where = "since " + since
	}
	text += fmt.Sprintf(" (%s, %s)", f.Source(), where)
	switch f.fact.Decides {
	case api.DecidesKeep:
		text += ": keeps it"
	case api.DecidesEnd:
		text += ": ends it"
	}
	return text
}

func orNone(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
