// Package history owns the journal's entry of a build that has ended: its fields, how
// they are written and how they are read. The journal is the only place where an ended
// build is kept: what is in it for how long, and who may read it, is the journal's to
// say. Entries are read by journalctl, started by who asks and as that user: the
// programs are static, and sd-journal(3) is a library of C. It decides nothing about
// builds.
package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// prefix is that of the project's own fields in the journal, see package logging.
const prefix = "BUILDWATCH_"

// A field is one fact of an ended build in its entry. An empty text is not written.
type field struct {
	name string // in the journal, after the prefix
	help string
	get  func(api.Ended) string
	set  func(*api.Ended, string) error
}

var fields = []field{
	{"ID", "the build's ID", func(e api.Ended) string { return e.ID }, str(func(e *api.Ended) *string { return &e.ID })},
	{"NAME", "the name that it was given by `run --name`", func(e api.Ended) string { return e.Name }, str(func(e *api.Ended) *string { return &e.Name })},
	{"REASON", "why it came to its end", func(e api.Ended) string { return string(e.Reason) }, str(func(e *api.Ended) *api.Reason { return &e.Reason })},
	{"ASKED_BY_UID", "who asked for its end", func(e api.Ended) string {
		if e.AskedBy == nil {
			return ""
		}
		return decimal(*e.AskedBy)
	}, func(e *api.Ended, text string) error {
		uid, err := uid(text)
		e.AskedBy = &uid
		return err
	}},
	{"UID", "whose it was", func(e api.Ended) string { return decimal(e.User.UID) }, func(e *api.Ended, text string) (err error) {
		e.User.UID, err = uid(text)
		return err
	}},
	{"USER", "that user's name", func(e api.Ended) string { return e.User.Name }, str(func(e *api.Ended) *string { return &e.User.Name })},
	{"COMMAND", "the owner's program and verb", func(e api.Ended) string { return e.Command }, str(func(e *api.Ended) *string { return &e.Command })},
	{"OWNER_PID", "the owner's PID", func(e api.Ended) string { return positive(e.OwnerPID) }, func(e *api.Ended, text string) (err error) {
		e.OwnerPID, err = strconv.Atoi(text)
		return err
	}},
	{"OWNER_UNIT", "the systemd unit that the owner was started in", func(e api.Ended) string { return e.OwnerUnit }, str(func(e *api.Ended) *string { return &e.OwnerUnit })},
	{"MODE", "how it was started", func(e api.Ended) string { return string(e.Mode) }, str(func(e *api.Ended) *api.Mode { return &e.Mode })},
	{"PLACEMENT", "how it was held", func(e api.Ended) string { return string(e.Placement) }, str(func(e *api.Ended) *api.Placement { return &e.Placement })},
	{"ARCH", "emulated architectures that were seen, with commas between", func(e api.Ended) string { return strings.Join(e.Arch, ",") }, func(e *api.Ended, text string) error {
		e.Arch = strings.Split(text, ",")
		return nil
	}},
	{"SCOPE", "its systemd unit", func(e api.Ended) string { return e.Scope }, str(func(e *api.Ended) *string { return &e.Scope })},
	{"CREATED_AT", "when it began, as RFC 3339", func(e api.Ended) string { return stamp(e.CreatedAt) }, moment(func(e *api.Ended) *time.Time { return &e.CreatedAt })},
	{"ENDED_AT", "when its last process was gone", func(e api.Ended) string { return stamp(e.EndedAt) }, moment(func(e *api.Ended) *time.Time { return &e.EndedAt })},
	{"DURATION_SECONDS", "from the one to the other", func(e api.Ended) string { return seconds(e.DurationSeconds) }, number(func(e *api.Ended) *float64 { return &e.DurationSeconds })},
	{"ENDING_SECONDS", "from the fact that ended it to its last process gone; 0 for one that nobody has ended", func(e api.Ended) string { return seconds(e.EndingSeconds) }, number(func(e *api.Ended) *float64 { return &e.EndingSeconds })},
	{"CPU_SECONDS", "CPU time of all its processes", func(e api.Ended) string { return seconds(e.CPUSeconds) }, number(func(e *api.Ended) *float64 { return &e.CPUSeconds })},
	{"MEMORY_PEAK_BYTES", "the most memory that all of it had at once, where the kernel says", func(e api.Ended) string {
		if e.MemoryPeakBytes == 0 {
			return ""
		}
		return decimal(e.MemoryPeakBytes)
	}, func(e *api.Ended, text string) (err error) {
		e.MemoryPeakBytes, err = strconv.ParseUint(text, 10, 64)
		return err
	}},
	{"OOM_KILLS", "processes of it that the kernel killed for lack of memory", func(e api.Ended) string {
		if e.OOMKills == 0 {
			return ""
		}
		return decimal(e.OOMKills)
	}, func(e *api.Ended, text string) (err error) {
		e.OOMKills, err = strconv.ParseUint(text, 10, 64)
		return err
	}},
	{"PROCESSES_ENDED", "processes that were there when its end was begun, by architecture, such as `aarch64=5,native=1`", writeProcesses, readProcesses},
	{"RUNGS", "rungs of the ladder that were used, such as `kill=0.004,owner=1.500:2:timed_out`: seconds, processes that were left, and whether its time was over", writeRungs, readRungs},
	{"SURVIVORS", "processes that outlived SIGKILL", func(e api.Ended) string { return strconv.Itoa(e.Survivors) }, func(e *api.Ended, text string) (err error) {
		e.Survivors, err = strconv.Atoi(text)
		return err
	}},
}

// Fields returns what the entry says of the build, without the prefix of the names.
func Fields(e api.Ended) map[string]string {
	all := make(map[string]string, len(fields))
	for _, f := range fields {
		if text := f.get(e); text != "" {
			all[f.name] = text
		}
	}
	return all
}

// Sentence says for people how the build came to its end, in one line.
func Sentence(e api.Ended) string {
	lived := roughly(e.DurationSeconds)
	if e.Reason == api.ReasonCompleted {
		return fmt.Sprintf("Build %s completed after %s", e.ID, lived)
	}
	text := fmt.Sprintf("Build %s is gone (%s) after %s", e.ID, e.Reason, lived)
	if why := Why(e); why != "" {
		text += ": " + why
	}
	total := 0
	for _, n := range e.ProcessesEnded {
		total += n
	}
	if total > 0 {
		text += fmt.Sprintf(". %d of its processes were ended in %s", total, roughly(e.EndingSeconds))
	}
	if e.Survivors > 0 {
		text += fmt.Sprintf("; %d outlived SIGKILL until the kernel let go of them", e.Survivors)
	}
	return text
}

// roughly is a time for people: to the second, or to the millisecond where it is short.
func roughly(seconds float64) time.Duration {
	d := time.Duration(seconds * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}

// Why says for people why a build was ended, and by whom.
func Why(e api.Ended) string {
	switch e.Reason {
	case api.ReasonOwnerExited:
		return "its owner ended, and left processes"
	case api.ReasonOutOfMemory:
		return "the kernel killed a process of its last step, or its command, for want of memory"
	case api.ReasonOutOfTasks:
		return "its last step could not have all the processes that it wanted"
	case api.ReasonClientDisconnected:
		return "the client of its request went away"
	case api.ReasonStopped:
		switch {
		case e.AskedBy == nil:
			return "somebody asked for it"
		case *e.AskedBy == 0:
			return "root asked for it"
		case *e.AskedBy == e.User.UID:
			return "its user asked for it"
		}
		return fmt.Sprintf("UID %d asked for it", *e.AskedBy)
	case api.ReasonDeadline:
		return "its time was over"
	case api.ReasonStalled:
		return "it had been stalled for longer than is allowed"
	}
	return ""
}

func str[T ~string](of func(*api.Ended) *T) func(*api.Ended, string) error {
	return func(e *api.Ended, text string) error {
		*of(e) = T(text)
		return nil
	}
}

func number(of func(*api.Ended) *float64) func(*api.Ended, string) error {
	return func(e *api.Ended, text string) (err error) {
		*of(e), err = strconv.ParseFloat(text, 64)
		return err
	}
}

func moment(of func(*api.Ended) *time.Time) func(*api.Ended, string) error {
	return func(e *api.Ended, text string) (err error) {
		*of(e), err = time.Parse(time.RFC3339Nano, text)
		return err
	}
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func decimal[T uint32 | uint64](n T) string { return strconv.FormatUint(uint64(n), 10) }

func positive(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func uid(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err
}

func writeProcesses(e api.Ended) string {
	var words []string
	for _, arch := range slices.Sorted(maps.Keys(e.ProcessesEnded)) {
		words = append(words, fmt.Sprintf("%s=%d", arch, e.ProcessesEnded[arch]))
	}
	return strings.Join(words, ",")
}

func readProcesses(e *api.Ended, text string) error {
	for word := range strings.SplitSeq(text, ",") {
		arch, count, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(count)
		if err != nil {
			return err
		}
		e.ProcessesEnded[arch] = n
	}
	return nil
}

const timedOut = "timed_out"

func writeRungs(e api.Ended) string {
	words := make([]string, len(e.Rungs))
	for i, r := range e.Rungs {
		words[i] = string(r.Rung) + "=" + seconds(time.Duration(r.Duration).Seconds())
		switch {
		case r.TimedOut:
			words[i] += fmt.Sprintf(":%d:%s", r.Survivors, timedOut)
		case r.Survivors > 0:
			words[i] += fmt.Sprintf(":%d", r.Survivors)
		}
	}
	return strings.Join(words, ",")
}

func readRungs(e *api.Ended, text string) error {
	for word := range strings.SplitSeq(text, ",") {
		rung, facts, _ := strings.Cut(word, "=")
		parts := strings.Split(facts, ":")
		took, err := strconv.ParseFloat(parts[0], 64)
		if err != nil {
			return err
		}
		used := api.EndedRung{Rung: api.Rung(rung), Duration: api.Seconds(math.Round(took * float64(time.Second)))}
		if len(parts) > 1 {
			if used.Survivors, err = strconv.Atoi(parts[1]); err != nil {
				return err
			}
		}
		used.TimedOut = len(parts) > 2 && parts[2] == timedOut
		e.Rungs = append(e.Rungs, used)
	}
	return nil
}
