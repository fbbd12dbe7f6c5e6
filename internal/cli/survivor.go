package cli

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/buildwatch/buildwatch/internal/api"
)

// writeSurvivors says of each process that outlived SIGKILL what it waits for.
func writeSurvivors(out io.Writer, processes []api.Process) error {
	var text bytes.Buffer
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&text, "%*s: %s\n", labelWidth, label, fmt.Sprintf(format, args...))
	}
	for _, p := range processes {
		row := processRow{p}
		if !row.Survivor() || p.Since.IsZero() && len(p.Waits) == 0 && len(p.Stack) == 0 {
			continue
		}
		line("Survivor", "%d %s, since %s", row.PID(), orNone(row.Command()), orNone(row.Since()))
		for _, w := range p.Waits {
			line("waits for", "%s", describeWait(w))
		}
		if stack := row.Stack(); stack != "" {
			line("in", "%s", stack)
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

func describeWaits(waits []api.Wait) string {
	texts := make([]string, len(waits))
	for i, w := range waits {
		texts[i] = describeWait(w)
	}
	return strings.Join(texts, " or ")
}

func describeWait(w api.Wait) string {
	var parts []string
	if w.File != "" {
		parts = append(parts, quote(w.File))
	}
	if w.Mount != "" {
		parts = append(parts, quote(w.FSType)+" on "+quote(w.Mount))
	}
	if w.Connection != 0 {
		text := fmt.Sprintf("FUSE connection %d with %d requests", w.Connection, w.Requests)
		if len(w.Servers) > 0 {
			pids := make([]string, len(w.Servers))
			for i, pid := range w.Servers {
				pids[i] = strconv.Itoa(pid)
			}
			text += ", served by " + strings.Join(pids, ", ")
		}
		parts = append(parts, text)
	}
	if text := describeAbort(w); text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// describeAbort says why the connection was not aborted.
func describeAbort(w api.Wait) string {
	switch w.Abort {
	case "":
		return ""
	case api.AbortDone:
		return "aborted"
	case api.AbortLater:
		return "not aborted yet: it has not waited for a second"
	case api.AbortOff:
		return "not aborted: switched off by ladder.abort_fuse"
	case api.AbortNoControl:
		return "not aborted: /sys/fs/fuse/connections is not mounted"
	case api.AbortNotNeeded:
		return "not aborted: no request waits"
	case api.AbortMounter:
		return "not aborted: another user has mounted it"
	case api.AbortServer:
		return fmt.Sprintf("not aborted: process %d, which serves it, is not the build's", w.AbortPID)
	case api.AbortUsed:
		return fmt.Sprintf("not aborted: process %d uses it too", w.AbortPID)
	case api.AbortUnsure:
		return "not aborted: whose it is could not be found out"
	}
	return quote(string(w.Abort))
}
