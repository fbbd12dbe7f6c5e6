package reclaim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/logging"
)

// words say to people why something was left.
var words = map[Why]string{
	WhyLook:     "only told, as configured",
	WhyOlder:    "older than the build",
	WhyNoStage:  "no stage of a build's",
	WhyDoubt:    "another build may have made it",
	WhyUsed:     "used by a process",
	WhyFailed:   "could not be removed",
	WhyReplaced: "another directory by that name",
	WhyMounted:  "something is mounted in it",
	WhyNoTool:   "neither podman nor buildah is installed",
	WhyUnseen:   "nobody saw its build",
}

// tell passes on what a helper has done: what was removed, and what was not and why.
func (r *Reclaimer) tell(w *waiting, s summary, try int, took time.Duration, err error) {
	now := Sum{s.removed, s.left, s.bytes, took, reasons(s.why)}
	r.mu.Lock()
	w.Done = w.Done.and(now)
	done := Done{w.Build, w.UID, now, w.Done, s.kept}
	name := w.name()
	r.mu.Unlock()
	if s.removed > 0 && s.left > 0 {
		r.keep(w) // it is gone on with, perhaps by the next daemon
	}
	log := r.Log.WithField(logging.FieldUID, w.UID)
	if done.Build != "" {
		log = log.WithField(logging.FieldID, done.Build)
	}
	if err != nil {
		log.WithError(err).Warnf("%s: what it has left in storage could not all be removed", name)
	}
	switch {
	case s.removed == 0 && (s.left == 0 || try > 0):
	case done.Build == "":
		log.Info(done.sentence(name))
	case r.Told != nil:
		r.Told(done)
	}
}

// String says for people what was done.
func (d Done) String() string { return d.sentence("Build " + d.Build) }

func (d Done) sentence(name string) string {
	var parts []string
	if d.Removed > 0 {
		parts = append(parts, fmt.Sprintf("%d things that it had left in storage were removed (%s)", d.Removed, limits.Rounded(uint64(d.Bytes))))
	}
	if d.Left > 0 {
		parts = append(parts, fmt.Sprintf("%d things that it has left in storage stay (%s): %s", d.Left, limits.Rounded(uint64(d.kept)), d.Why))
	}
	return name + ": " + strings.Join(parts, "; ")
}

// name is what the journal calls a build.
func (e *entry) name() string {
	if e.Build == "" {
		return fmt.Sprintf("Process %d, a %s without a step", e.Builder.PID, e.Command)
	}
	return "Build " + e.Build
}

func reasons(why map[Why]int) string {
	var all []string
	for _, one := range slices.Sorted(maps.Keys(why)) {
		text := words[one]
		if text == "" {
			text = "for a reason that is not known"
		}
		all = append(all, fmt.Sprintf("%d %s", why[one], text))
	}
	return strings.Join(all, ", ")
}
