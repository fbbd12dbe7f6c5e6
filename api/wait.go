package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Abort is what was done about the FUSE connection that a survivor waits for.
type Abort string

// The outcomes known to this version.
const (
	AbortDone      Abort = "aborted"
	AbortLater     Abort = "later"
	AbortOff       Abort = "off"
	AbortNoControl Abort = "no_control"
	AbortNotNeeded Abort = "not_needed"
	AbortMounter   Abort = "mounter"
	AbortServer    Abort = "server"
	AbortUsed      Abort = "used"
	AbortUnsure    Abort = "unsure"
)

// The meanings of all but the first say why the connection was not aborted.
var aborts = meanings[Abort]{
	{AbortDone, "it was aborted"},
	{AbortLater, "its requests have not waited for a second yet"},
	{AbortOff, "ladder.abort_fuse is never"},
	{AbortNoControl, "/sys/fs/fuse/connections is not mounted"},
	{AbortNotNeeded, "no request is waiting"},
	{AbortMounter, "another user has mounted it"},
	{AbortServer, "a process that is not the build's serves it"},
	{AbortUsed, "another process uses it"},
	{AbortUnsure, "whose it is could not be found out in time, or something could not be read"},
}

// Aborts lists every outcome.
func Aborts() []Abort { return aborts.words() }

// Meaning says for people what was done, or why nothing was.
func (a Abort) Meaning() string { return aborts.of(a) }

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

// WaitKind is what kind of thing a survivor waits for.
type WaitKind string

// A file system that a process serves, one that another host serves, or what can't be told.
const (
	WaitFuse  WaitKind = "fuse"
	WaitNFS   WaitKind = "nfs"
	WaitOther WaitKind = "other"
)

// WaitKinds returns them all.
func WaitKinds() []WaitKind { return []WaitKind{WaitFuse, WaitNFS, WaitOther} }

// KindOfWait is what kind of thing a survivor waits for, if it may be several the first
// that is known.
func KindOfWait(waits []Wait) WaitKind {
	for _, w := range waits {
		switch {
		case w.FSType == "fuse" || strings.HasPrefix(w.FSType, "fuse."), w.FSType == "fuseblk":
			return WaitFuse
		case strings.HasPrefix(w.FSType, "nfs"):
			return WaitNFS
		}
	}
	return WaitOther
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
	why := w.Abort.Meaning()
	switch {
	case w.Abort == "":
		return ""
	case why == "":
		return strconv.Quote(string(w.Abort)) // of a later version
	case w.Abort == AbortDone:
		return string(AbortDone)
	case w.AbortPID != 0:
		return fmt.Sprintf("not aborted: %s (PID %d)", why, w.AbortPID)
	}
	return "not aborted: " + why
}
