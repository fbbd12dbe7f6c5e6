package request

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/requestdir"
)

// candidatesLimit bounds what asks the service's own memory.
const candidatesLimit = 200 * time.Millisecond

// Candidates returns the directories that may be those of the request for which the
// service runs a step now, where no wrapper has said so: all of the user's that were
// made since the service was started, where it makes them. monitor is the step's. None
// are returned where they are not among the host's.
//
// Which of several it is stands in files that only the user may open: unlike the
// wrapper this leaves none out. What is a request's is among them for as long as its
// handler has not returned.
func (w *Watcher) Candidates(ctx context.Context, service, monitor *proc.Handle, uid uint32) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, candidatesLimit)
	defer cancel()
	parent, err := w.parentOf(ctx, service, monitor)
	if err != nil || !slices.Contains(parents, parent) {
		return nil, err
	}
	same, err := sameInside(service.PID, parent)
	if err != nil || !same || !service.Alive() {
		return nil, err
	}
	since := startOf(service).UnixNano()
	found := slices.DeleteFunc(requestdir.List(parent, uid), func(p string) bool {
		dir, err := look(p)
		return err != nil || dir.Birth != 0 && dir.Birth < since
	})
	if len(found) > MaxDirs {
		return nil, nil
	}
	return found, nil
}

// parentOf is where the service makes its directories. It sets $TMPDIR for itself where
// it has none, which an OCI runtime's monitor inherits; that of a chroot has an
// environment of its own. A default that image_copy_tmp_dir in containers.conf has
// changed is then not known.
//
// Source: containers/podman, cmd/podman/root.go, persistentPreRunE; containers/buildah,
// chroot/run_common.go, RunUsingChroot.
func (w *Watcher) parentOf(ctx context.Context, service, monitor *proc.Handle) (string, error) {
	for _, h := range []*proc.Handle{monitor, service} {
		switch parent, err := w.reader.Env(ctx, h, "TMPDIR"); {
		case err != nil:
			return "", fmt.Errorf("where the service keeps its requests: %w", err)
		case parent != "":
			return parent, nil
		}
	}
	return requestdir.DefaultParent, nil
}

// startOf is when the process was started, by the clock as it is now, and up to a
// second earlier.
func startOf(h *proc.Handle) time.Time {
	var sinceBoot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &sinceBoot); err != nil {
		return time.Time{}
	}
	const tick = time.Second / 100 // USER_HZ, in which the kernel tells it on every architecture
	boot := time.Now().Add(-time.Duration(sinceBoot.Nano()))
	return boot.Add(time.Duration(h.Start)*tick - time.Second)
}

// sameInside tells whether a directory of the host's is what the process has at the same
// path, by their mount tables: it is not where a unit has PrivateTmp=. Nothing is asked of
// what is mounted.
func sameInside(pid int, dir string) (bool, error) {
	inside, err := procfs.GetProcMounts(pid)
	if err != nil {
		return false, err
	}
	host, err := procfs.GetMounts()
	if err != nil {
		return false, err
	}
	of := placeOf(dir, inside)
	return of != "" && of == placeOf(dir, host), nil
}

// placeOf names the file system that a directory is on, and where it is there.
func placeOf(dir string, mounts []*procfs.MountInfo) string {
	place, longest := "", -1
	for _, m := range mounts { // of two at one point the later one hides the other
		below, ok := strings.CutPrefix(dir, strings.TrimSuffix(m.MountPoint, "/"))
		if !ok || below != "" && below[0] != '/' || len(m.MountPoint) < longest {
			continue
		}
		place, longest = m.MajorMinorVer+" "+path.Join(m.Root, below), len(m.MountPoint)
	}
	return place
}
