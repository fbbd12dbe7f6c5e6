package observe

import (
	"os"
	"path"
	"strconv"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// Own is the cgroup that the OCI runtime has made for the step's container alone,
// and false where none is known: for chroot isolation, or where the build's user has
// chosen the cgroup (--cgroup-parent), which others may share then.
//
// verified: its name holds the number of the bundle that the step's monitor was
// seen to run. Without, a name alone says whose it is.
func (s *Step) Own() (own proc.CgroupID, verified, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own, s.bundle != "", s.own.Path != ""
}

// Populated reports whether there is a process in that cgroup, where it is verified. No
// look at /proc may have found it: one that starts the next and ends at once is at
// no moment both listed and there.
func (s *Step) Populated() bool {
	own, verified, known := s.Own()
	if !known || !verified {
		return false
	}
	populated, err := own.Populated()
	return populated || err != nil
}

// findOwn looks for it, once there is a process in it: the runtime moves the
// container's first one there. It is called with the lock.
func (s *Step) findOwn() {
	if s.own.Path != "" || s.Monitor != nil && s.bundle == "" {
		return
	}
	for _, h := range s.held {
		where, err := h.Cgroup()
		if err != nil {
			continue
		}
		own, ok := ownCgroup(where, s.bundle)
		if !ok {
			continue
		}
		id, err := proc.IdentifyCgroup(own)
		if err != nil {
			continue
		}
		// A process that is in it now was so when it was identified, or was moved
		// meanwhile, which nobody does to a container that is running.
		if again, err := h.Cgroup(); err == nil && again == where {
			s.own = id
			return
		}
	}
}

// bundleOf is the name of the bundle that a step's monitor runs: its working directory
// from its beginning to its end. It is "" for a monitor that has ended.
//
// Source: containers/buildah, run_common.go, runUsingRuntimeSubproc.
func bundleOf(monitor *proc.Handle) string {
	dir, err := os.Readlink("/proc/" + strconv.Itoa(monitor.PID) + "/cwd")
	if err != nil || !monitor.Alive() {
		return ""
	}
	return path.Base(dir)
}

// ownCgroup is the part of where a process is that is one container's own. With a
// bundle it must be that one's container: buildah calls it by the bundle's number.
func ownCgroup(where, bundle string) (string, bool) {
	own, container, ok := podman.StepCgroup(where)
	if !ok || bundle != "" && container != podman.ContainerOf(bundle) {
		return "", false
	}
	return own, true
}
