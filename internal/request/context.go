package request

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// contextOf tells the context directory of the build that a monitor runs a step of,
// and "" where that can't be told. For a context that was sent to the service it lies in
// the request's directory.
//
// The builder hands it to the monitor, a process of its own for each step, through a
// pipe, in a JSON document that nobody else sees. The monitor's memory holds that
// document: five copies of the member, for as long as the step runs (podman 4.3.1, 5.4.2).
func contextOf(monitor *proc.Handle) (string, error) {
	process, err := procfs.NewProc(monitor.PID)
	if err != nil {
		return "", proc.ErrGone
	}
	regions, err := process.ProcMaps()
	if err != nil {
		return "", fmt.Errorf("the monitor's memory: %w", err)
	}
	memory, err := openMemory(monitor.PID)
	if err != nil {
		return "", fmt.Errorf("the monitor's memory: %w", err)
	}
	defer memory.close()
	found := newFinds()
	for _, region := range regions {
		if !isData(region) {
			continue
		}
		if err := memory.parts(int64(region.StartAddr), int64(region.EndAddr), found.search); err != nil {
			return "", fmt.Errorf("the monitor's memory: %w", err)
		}
	}
	if !monitor.Alive() {
		return "", proc.ErrGone
	}
	return found.only(), nil
}

// isData reports whether a part of a process's memory can hold what it has made itself.
func isData(region *procfs.ProcMap) bool {
	return region.Perms.Read && region.Perms.Write && region.Perms.Private && region.Inode == 0
}

// member begins the member of that document. In a string that a user has put into it
// (a variable, a label) its quotation marks are escaped.
const member = podman.ContextMember

// maxContext is the longest value that is taken; PATH_MAX.
const maxContext = 4096

// finds are the values of the member that were found.
type finds struct {
	values map[string]bool
	part   []byte // of memory; they overlap by what a value may need
}

func newFinds() *finds { return &finds{values: map[string]bool{}, part: make([]byte, 1<<20)} }

// search looks through memory, part by part.
func (f *finds) search(memory io.Reader) error {
	const overlap = len(member) + maxContext
	kept := 0
	for {
		n, err := io.ReadFull(memory, f.part[kept:])
		f.take(f.part[:kept+n])
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, unix.EIO): // unmapped meanwhile
			return nil
		case err != nil:
			return err
		}
		kept = copy(f.part, f.part[len(f.part)-overlap:])
	}
}

// take keeps the values that lie in a part of memory. What has no end there, or can't
// be a path, was overwritten.
func (f *finds) take(part []byte) {
	for {
		_, rest, ok := bytes.Cut(part, []byte(member))
		if !ok {
			return
		}
		part = rest
		value, _, ended := bytes.Cut(rest[:min(len(rest), maxContext)], []byte(`"`))
		var p string
		if !ended || json.Unmarshal([]byte(`"`+string(value)+`"`), &p) != nil {
			continue
		}
		if path.IsAbs(p) && utf8.Valid(value) && strings.IndexFunc(p, unicode.IsControl) < 0 {
			f.values[p] = true
		}
	}
}

// only is the one value that there is: of two one was made up.
func (f *finds) only() string {
	if len(f.values) != 1 {
		return ""
	}
	for value := range f.values {
		return value
	}
	return ""
}

// below undoes the overlay that the builder has put over a context, where there is one:
// it is what the monitor has mounted there. Else the context is returned as it is.
//
// Source: containers/buildah, imagebuildah/build_linux.go,
// platformSetupContextDirectoryOverlay, v1.44.
func below(context string, mounts []*procfs.MountInfo) string {
	for _, m := range mounts {
		if m.MountPoint != context || m.FSType != "overlay" {
			continue
		}
		for _, key := range []string{"lowerdir", "lowerdir+"} {
			if lower := m.SuperOptions[key]; path.IsAbs(lower) {
				return lower
			}
		}
	}
	return context
}

// contextWithin is contextOf, by a reader that is left behind when the memory can't be
// read in time.
func (w *Watcher) contextWithin(ctx context.Context, monitor *proc.Handle) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, errSlow)
	defer cancel()
	of, err := w.accountOf(monitor)
	if err != nil {
		return "", err
	}
	dir, err := proc.Within(ctx, w.reader, of, func() (string, error) { return contextOf(monitor) })
	if err != nil || dir == "" {
		return "", err
	}
	if _, ok := podman.RequestOf(dir); ok {
		return dir, nil
	}
	mounts, err := procfs.GetProcMounts(monitor.PID)
	if err != nil {
		return "", err
	}
	return below(dir, mounts), nil
}
