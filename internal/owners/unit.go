package owners

import (
	"path"
	"strings"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// StartedIn is the systemd unit that who started the build is in: where the owner has
// moved, as a rootless podman does, its parent's. Empty where there is none. ofSystem reports
// whether it is one of the system's manager: others have names that users choose.
func (o *Owner) StartedIn() (unit string, ofSystem bool) {
	process := o.Handle
	if n := len(o.Waiters); n > 0 {
		process = o.Waiters[n-1]
	}
	where, err := process.Cgroup()
	if err != nil {
		return "", false
	}
	if unit := unitOf(where); unit != "" && !ownScope(unit) {
		return unit, belowSlices(where, unit)
	}
	parent, err := process.Parent()
	if err != nil {
		return "", false
	}
	defer parent.Close()
	if where, err = parent.Cgroup(); err != nil {
		return "", false
	}
	if unit := unitOf(where); !ownScope(unit) {
		return unit, belowSlices(where, unit)
	}
	return "", false
}

// belowSlices reports whether nothing but slices is above a unit: what is below one was made
// by whom that was delegated to.
func belowSlices(cgroup, unit string) bool {
	for name := range strings.SplitSeq(strings.Trim(cgroup, "/"), "/") {
		if !strings.HasSuffix(name, ".slice") {
			return name == unit && unit != ""
		}
	}
	return false
}

// ownScope reports whether the unit is one that podman, or buildwatch, makes for a
// single command.
func ownScope(unit string) bool {
	return podman.IsRootlessScope(unit) || strings.HasPrefix(unit, "buildwatch-") && strings.HasSuffix(unit, ".scope")
}

// unitOf is the innermost unit on the path of a cgroup.
func unitOf(cgroup string) string {
	for ; cgroup != "/" && cgroup != "." && cgroup != ""; cgroup = path.Dir(cgroup) {
		name := path.Base(cgroup)
		if strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".scope") {
			return name
		}
	}
	return ""
}
