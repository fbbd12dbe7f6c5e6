package reclaim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

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

// tell logs what a helper has done: what was removed, and what was not and why.
func (r *Reclaimer) tell(w *waiting, s summary, try int, took time.Duration, err error) {
	log := r.Log.WithFields(logrus.Fields{
		logging.FieldUID: w.UID,
		"reclaimed":      s.removed, "reclaimed_bytes": s.bytes, "left": s.left, "left_bytes": s.kept, "duration": took.String(),
	})
	if w.Build != "" {
		log = log.WithField(logging.FieldID, w.Build)
	}
	if s.removed > 0 {
		log.Infof("%s: %d things that it had left in storage were removed (%s)", w.name(), s.removed, limits.Rounded(uint64(s.bytes)))
	}
	switch {
	case err != nil:
		log.WithError(err).Warnf("%s: what it has left in storage could not all be removed", w.name())
	case s.left > 0 && try == 0:
		log.Infof("%s: %d things that it has left in storage stay (%s): %s", w.name(), s.left, limits.Rounded(uint64(s.kept)), reasons(s.why))
	}
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
