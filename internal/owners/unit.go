package owners

import (
	"path"
	"strings"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// StartedIn is the systemd unit that who started the build is in: where the owner has
// moved, as a rootless podman does, its parent's. Empty where there is none.
func (o *Owner) StartedIn() string {
	process := o.Handle
	if n := len(o.Waiters); n > 0 {
		process = o.Waiters[n-1]
	}
	where, err := process.Cgroup()
	if err != nil {
		return ""
	}
	if unit := unitOf(where); unit != "" && !ownScope(unit) {
		return unit
	}
	parent, err := process.Parent()
	if err != nil {
		return ""
	}
	defer parent.Close()
	if where, err = parent.Cgroup(); err != nil {
		return ""
	}
	if unit := unitOf(where); !ownScope(unit) {
		return unit
	}
	return ""
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
