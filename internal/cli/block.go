package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// labelWidth is that of the widest label of a block.
const labelWidth = 9

// block is labelled lines, no wider than that.
type block struct {
	bytes.Buffer
	width int
}

func (b *block) line(label, format string, args ...any) {
	fmt.Fprintf(b, "%*s: %s\n", labelWidth, label, wrap(fmt.Sprintf(format, args...), labelWidth+2, b.width))
}

// list has a line for each, the first of them labelled.
func (b *block) list(label string, each []string) {
	for _, one := range each {
		b.line(label, "%s", one)
		label = ""
	}
}

// known is a line for what may be empty: it is left out then.
func (b *block) known(label, text string) {
	if text != "" {
		b.line(label, "%s", text)
	}
}

// writeDetail describes one build for a person, whether it has ended or not.
func writeDetail(out io.Writer, d api.BuildDetail, now time.Time, width int) error {
	if d.End != nil {
		return writeEndedBlock(out, d, now, width)
	}
	return writeBlock(out, d, now, width)
}

// writeBlock describes one build for a person, as systemctl status does a unit.
func writeBlock(out io.Writer, d api.BuildDetail, now time.Time, width int) error {
	r := row{build: d.Build, now: now}
	text := block{width: width}
	line := text.line
	line("Build", "%s", r.ID())
	text.known("Name", r.Name())
	line("State", "%s", r.stateAndReason())
	if since := d.StalledSince; !since.IsZero() {
		line("Stalled", "since %s, for %s", r.StalledSince(), humanDuration(now.Sub(since)))
	}
	if d.Verdict != "" {
		line("Why", "%s", oneLine(why(d.Explanation)))
		line("Until", "%s", oneLine(until(d.Explanation, d.State.Wanted())))
	}
	text.list("To do", remedies(d))
	text.list("Known", each(d.Facts, explainFact))
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
	text.list("Ladder", each(d.Ladder, func(used api.UsedRung) string {
		r := rungRow{used}
		return fmt.Sprintf("%s at %s, %s", r.Rung(), r.StartedAt(), r.outcome())
	}))
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

func explainFact(fact api.Fact) string {
	f := factRow{fact}
	text := fmt.Sprintf("%s: %s", f.Name(), f.Value())
	where := "now"
	if since := f.Since(); since != "" {
		where = "since " + since
	}
	text += fmt.Sprintf(" (%s, %s)", f.Source(), where)
	switch fact.Decides {
	case api.DecidesKeep:
		text += ": keeps it"
	case api.DecidesEnd:
		text += ": ends it"
	}
	return text
}

func orNone(s string) string { return cmp.Or(s, "-") }
