package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// String says it for people, on one line; what others have named is quoted.
func (w Wait) String() string {
	var parts []string
	if w.File != "" {
		parts = append(parts, strconv.Quote(w.File))
	}
	if w.Mount != "" {
		parts = append(parts, fmt.Sprintf("%q on %q", w.FSType, w.Mount))
	}
	if w.Connection != 0 {
		text := fmt.Sprintf("FUSE connection %d with %d requests", w.Connection, w.Requests)
		if len(w.Servers) > 0 {
			pids := make([]string, len(w.Servers))
			for i, pid := range slices.Sorted(slices.Values(w.Servers)) {
				pids[i] = strconv.Itoa(pid)
			}
			text += ", served by " + strings.Join(pids, ", ")
		}
		parts = append(parts, text)
	}
	if text := w.aborted(); text != "" {
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// DescribeWaits says for people what a survivor may wait for.
func DescribeWaits(waits []Wait) string {
	texts := make([]string, len(waits))
	for i, w := range waits {
		texts[i] = w.String()
	}
	return strings.Join(texts, " or ")
}

// aborted says what was done about the connection, and why.
func (w Wait) aborted() string {
	switch w.Abort {
	case "":
		return ""
	case AbortDone:
		return "aborted"
	case AbortLater:
		return "not aborted yet: it has not waited for a second"
	case AbortOff:
		return "not aborted: switched off by ladder.abort_fuse"
	case AbortNoControl:
		return "not aborted: /sys/fs/fuse/connections is not mounted"
	case AbortNotNeeded:
		return "not aborted: no request waits"
	case AbortMounter:
		return "not aborted: another user has mounted it"
	case AbortServer:
		return fmt.Sprintf("not aborted: process %d, which serves it, is not the build's", w.AbortPID)
	case AbortUsed:
		return fmt.Sprintf("not aborted: process %d uses it too", w.AbortPID)
	case AbortUnsure:
		return "not aborted: whose it is could not be found out"
	}
	return strconv.Quote(string(w.Abort)) // of a later version
}
