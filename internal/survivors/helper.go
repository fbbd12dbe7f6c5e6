package survivors

import (
	"context"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// Helper is a fuse-overlayfs that serves the root of one of a build's working
// containers, held by pidfd.
type Helper struct {
	*proc.Handle
	connection uint32
	examiner   *Examiner
	uid        uint32
}

// ServedRoots lists the connections of the fuse-overlayfs that the containers have
// as their root, while these live: pids are the containers' processes.
func (e *Examiner) ServedRoots(ctx context.Context, pids []int) ([]uint32, error) {
	return proc.Within(ctx, e.reader, e.accountOf(pids), func() ([]uint32, error) { return e.servedRoots(pids), nil })
}

// Helpers finds the processes of the UID that serve these roots, and those that serve
// the working containers of steps without a RUN: podman has started them in the scope
// that it has made for itself, as one of builders, the build's owner first. One that
// is older than the owner was started for somebody else, as by `buildah mount`, and is
// not the build's.
func (e *Examiner) Helpers(ctx context.Context, uid uint32, builders []proc.Identity, roots []uint32) ([]*Helper, error) {
	return proc.Within(ctx, e.reader, e.reader.OfUID(uid), func() ([]*Helper, error) {
		all, err := e.processes()
		if err != nil {
			return nil, err
		}
		var found []*Helper
		for _, p := range all {
			if !p.helps(uid, process.isHelper) {
				continue
			}
			h, err := proc.Open(p.PID)
			if err != nil {
				continue
			}
			if connection, ok := serves(p.holds(), proc.Cgroup(p.PID), h.Start, builders, roots); ok {
				found = append(found, &Helper{Handle: h, connection: connection, examiner: e, uid: uid})
			} else {
				h.Close()
			}
		}
		return found, nil
	})
}

// serves returns which of the connections that a helper holds is the build's: one
// of the roots, or any where it lives in the scope of one of the builders. ok is
// false where none is, and for a helper that is older than the first of them.
func serves(held []uint32, cgroup string, start uint64, builders []proc.Identity, roots []uint32) (connection uint32, ok bool) {
	own := inScopeOf(cgroup, builders)
	at := slices.IndexFunc(held, func(number uint32) bool { return own || slices.Contains(roots, number) })
	if at < 0 || start < builders[0].Start {
		return 0, false
	}
	return held[at], true
}

// inScopeOf reports whether the cgroup is the scope that one of the processes has made
// for itself.
func inScopeOf(cgroup string, processes []proc.Identity) bool {
	return slices.ContainsFunc(processes, func(id proc.Identity) bool {
		return path.Base(cgroup) == podman.RootlessScope(id.PID)
	})
}

// servedRoots looks at one process of each mount namespace.
func (e *Examiner) servedRoots(pids []int) []uint32 {
	var roots []uint32
	var seen []string
	for _, pid := range pids {
		namespace := proc.Namespace(pid, "mnt")
		if namespace == "" || slices.Contains(seen, namespace) {
			continue
		}
		p, err := e.procs.Proc(pid)
		if err != nil {
			continue
		}
		infos, err := p.MountInfo()
		if err != nil {
			continue // another one of the namespace will do
		}
		seen = append(seen, namespace)
		for _, m := range mountsOf(infos) {
			if m.point == "/" && m.fstype == podman.MountHelperType && !slices.Contains(roots, m.device) {
				roots = append(roots, m.device)
			}
		}
	}
	return roots
}

// End ends the helper, once nobody uses its mount: by SIGTERM, at which it unmounts
// what it serves. What somebody uses stays. Where it does not end within patience, it
// gets SIGKILL, which leaves the mount for podman to clear away.
//
// Source: containers/fuse-overlayfs, main.c, which leaves libfuse's handlers of
// signals in place (fuse_set_signal_handlers(3)).
func (h *Helper) End(ctx context.Context, patience time.Duration) (ended bool, err error) {
	used, err := proc.Within(ctx, h.examiner.reader, h.examiner.reader.OfUID(h.uid), func() (int, error) {
		s, err := h.examiner.scan()
		if err != nil {
			return 0, err
		}
		var home []string
		for _, p := range s.processes {
			if p.PID == h.PID {
				home = append(home, p.namespace)
			}
		}
		return h.examiner.user(ctx, s, h.connection, h.uid, false, home, func(p process) bool { return p.PID == h.PID })
	})
	switch {
	case !h.Alive():
		return true, nil // podman has unmounted what it served
	case err != nil || used != 0:
		return false, err
	}
	if err := h.Signal(unix.SIGTERM); err != nil {
		return !h.Alive(), nil
	}
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if h.Wait(limit) == nil {
		return true, nil
	}
	return false, h.Signal(unix.SIGKILL)
}
