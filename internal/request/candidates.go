package request

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// dirsOf returns the directories that may be those of the request for which the service
// runs the monitor's step: the one that the monitor was told, or, where that can't be
// read, all that there may be.
func (w *Watcher) dirsOf(ctx context.Context, service, monitor *proc.Handle, uid uint32) ([]Dir, error) {
	told, unread := w.contextWithin(ctx, monitor)
	p, archive := podman.RequestOf(told)
	if !archive {
		dirs, err := w.candidates(ctx, service, monitor, uid, told)
		return dirs, errors.Join(unread, err)
	}
	if CheckPath(p) != nil {
		return nil, nil // not where it can be watched
	}
	if same, err := sameInside(service.PID, path.Dir(p)); err != nil || !same || !service.Alive() {
		return nil, err
	}
	switch d, err := look(p); {
	case err != nil:
		return []Dir{{Path: p, UID: uid}}, nil // its client has just gone
	case d.UID != uid:
		return nil, nil
	default:
		return []Dir{d}, nil
	}
}

// candidates returns all of the user's directories that were made since the service was
// started, where it makes them, and that are the host's. told is the step's context; ""
// where it is not known.
func (w *Watcher) candidates(ctx context.Context, service, monitor *proc.Handle, uid uint32, told string) ([]Dir, error) {
	parent, err := w.parentOf(ctx, service, monitor)
	if err != nil || !slices.Contains(parents, parent) {
		return nil, err
	}
	same, err := sameInside(service.PID, parent)
	if err != nil || !same || !service.Alive() {
		return nil, err
	}
	elsewhere := told != "" && !strings.HasPrefix(told, parent+"/"+podman.RequestPrefix)
	return slices.DeleteFunc(list(parent, uid), func(d Dir) bool {
		return w.clock.older(d, service) || elsewhere && d.holdsContext()
	}), nil
}

// parentOf is where the service makes its directories. It sets $TMPDIR for itself where
// it has none, which an OCI runtime's monitor inherits; that of a chroot has an
// environment of its own. A default that image_copy_tmp_dir in containers.conf has
// changed is then not known.
//
// Source: containers/buildah 1.28 to 1.43, chroot/run_common.go, RunUsingChroot.
func (w *Watcher) parentOf(ctx context.Context, service, monitor *proc.Handle) (string, error) {
	for _, h := range []*proc.Handle{monitor, service} {
		switch parent, err := w.reader.Env(ctx, h, podman.TemporaryVariable); {
		case err != nil:
			return "", fmt.Errorf("where the service keeps its requests: %w", err)
		case parent != "":
			return parent, nil
		}
	}
	return podman.TemporaryDirectory, nil
}

// clock tells what the time of day was at a moment since boot. It can't where the time
// of day was set since: times of birth are by the clock as it was.
type clock struct {
	since time.Duration // since boot, when it was begun
	epoch time.Time     // the time of day at boot, as it was then
}

func newClock() clock {
	since, epoch, _ := proc.Boot() // zero if it is not known
	return clock{since, epoch}
}

// slack is what a clock that nobody has set may be off by, and more than a process's
// start is rounded by.
const slack = time.Second

// older reports whether the directory is older than the process. In doubt it is not: where
// its file system keeps no time of birth, where the clock was set meanwhile, where the
// process is older than the clock that is known.
func (c clock) older(d Dir, h *proc.Handle) bool {
	start := time.Duration(h.Start) * proc.Tick
	_, epoch, _ := proc.Boot()
	if d.Birth == 0 || start < c.since || c.since == 0 || epoch.Sub(c.epoch).Abs() > slack/2 {
		return false
	}
	return d.Birth < epoch.Add(start-slack).UnixNano()
}

// sameInside reports whether a directory of the host's is what the process has at the same
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
