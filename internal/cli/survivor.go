package cli

import (
	"fmt"
	"io"

	"github.com/buildwatch/buildwatch/api"
)

// writeSurvivors says of each process that outlived SIGKILL what it waits for.
func writeSurvivors(out io.Writer, processes []api.Process, width int) error {
	text := block{width: width}
	for _, p := range processes {
		row := processRow{p}
		if !row.Survivor() || p.Since.IsZero() && len(p.Waits) == 0 {
			continue
		}
		text.line("Survivor", "%d %s, since %s", row.PID(), orNone(row.Command()), orNone(row.Since()))
		for _, w := range p.Waits {
			text.line("waits for", "%s", w)
		}
	}
	_, err := out.Write(text.Bytes())
	return err
}

// describeStuck names a survivor and what it waits for in one line.
func describeStuck(p processRow) string {
	text := fmt.Sprintf("%d %s in %s", p.PID(), orNone(p.Command()), orNone(p.WChan()))
	if waits := p.Waits(); waits != "" {
		text += " for " + waits
	}
	return text
}
