package observe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// notices tells when a builder's program is executed: a file is opened then, and
// so the kernel tells. Nothing is asked for meanwhile, so that a host on which
// nothing is built costs nothing. podman and buildah execute themselves again for
// each step, whatever isolation it has.
//
// Source: inotify(7); linux, fs/exec.c, do_open_execat.
//
// Any other program that has buildah built in does the same. It is watched from when one
// look has seen it. For that look notice is given by newuidmap, which every rootless one
// executes before its first step, unless it is in a user namespace already; and by the drop-in
// that names the wrapper, which each of them reads at its start, and the wrapper does not.
//
// Source: containers/storage, pkg/unshare/unshare_linux.go, Cmd.Start; containers/common,
// pkg/config/new.go, Default.
type notices struct {
	file   *os.File
	dropIn string
	mu     sync.Mutex       // lock order: 5
	kinds  map[int32]notice // of what else than a builder is watched
}

// notice is what was opened.
type notice string

const (
	aBuilder notice = "a builder"
	aMapper  notice = "a mapper of UIDs"
	aDropIn  notice = "the drop-in"
)

func openNotices(dropIn string) (*notices, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	n := &notices{file: os.NewFile(uintptr(fd), "inotify"), dropIn: dropIn, kinds: map[int32]notice{}}
	n.refresh()
	return n, nil
}

// replaced tells that another file has got a watched one's name, or that its name is gone. The
// old one's watch may last: somebody still runs it.
//
// Source: inotify(7), IN_ATTRIB, of unlink(2); linux, include/linux/fsnotify.h, fsnotify_move.
const replaced = unix.IN_ATTRIB | unix.IN_CREATE | unix.IN_MOVED_TO

// refresh watches the programs that are installed now. A file that is watched
// already is not watched twice, and one that was replaced lets go by itself.
func (n *notices) refresh() {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return
	}
	kinds := map[int32]notice{}
	_ = raw.Control(func(fd uintptr) {
		for _, program := range podman.Programs() {
			_, _ = unix.InotifyAddWatch(int(fd), program, unix.IN_OPEN|unix.IN_ATTRIB)
		}
		if n.dropIn != "" {
			_, _ = unix.InotifyAddWatch(int(fd), filepath.Dir(n.dropIn), unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR)
		}
		watch := func(file string, kind notice) {
			if watch, err := unix.InotifyAddWatch(int(fd), file, unix.IN_OPEN|unix.IN_ATTRIB); err == nil {
				kinds[int32(watch)] = kind
			}
		}
		for _, mapper := range podman.Mappers() {
			watch(mapper, aMapper)
		}
		watch(n.dropIn, aDropIn)
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kinds = kinds
}

// add watches one more program, that a descriptor (O_PATH) leads to.
func (n *notices) add(program *os.File) (unwatch func(), err error) {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	watch, watchErr := 0, error(nil)
	err = raw.Control(func(fd uintptr) {
		watch, watchErr = unix.InotifyAddWatch(int(fd), fmt.Sprintf("/proc/self/fd/%d", program.Fd()), unix.IN_OPEN)
	})
	unwatch = func() {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(watch)) })
	}
	return unwatch, errors.Join(err, watchErr)
}

// wait returns what was opened, or nothing when the context has ended. It has no time limit:
// a timer that runs out would be all that an idle daemon does.
func (n *notices) wait(ctx context.Context) []notice {
	stop := context.AfterFunc(ctx, func() { _ = n.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var events [4096]byte
	length, err := n.file.Read(events[:])
	if err != nil {
		return nil
	}
	heard, changed := n.read(events[:length])
	if changed {
		n.refresh()
	}
	return heard
}

// read returns what events say was opened, and whether what is watched is to be looked for anew.
func (n *notices) read(events []byte) (heard []notice, changed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(events) >= unix.SizeofInotifyEvent {
		watch, mask := int32(binary.NativeEndian.Uint32(events)), binary.NativeEndian.Uint32(events[4:])
		name := binary.NativeEndian.Uint32(events[12:]) // its length: one of a directory's has a name
		events = events[min(len(events), unix.SizeofInotifyEvent+int(name)):]
		changed = changed || mask&replaced != 0
		kind, known := n.kinds[watch]
		if !known {
			kind = aBuilder
		}
		if mask&unix.IN_OPEN != 0 && !slices.Contains(heard, kind) {
			heard = append(heard, kind)
		}
	}
	return heard, changed
}

func (n *notices) close() { _ = n.file.Close() }

// heard is what was noticed of builders' starts.
type heard struct {
	builder time.Time // one that is watched was executed last
	began   time.Time // a program that may be none of these had its UIDs mapped, or read the drop-in
	strange time.Time // and certainly was none
}

// explains is for how long after a builder's start what is read or mapped is taken to be by it;
// explainsAlive that of one that still lives then, on a host that is slow.
const (
	explains      = time.Second
	explainsAlive = time.Minute
)

// explain takes back what was heard just now, where the youngest builder that is watched, by its
// Identity.Start, can have done that.
func (h *heard) explain(youngest uint64) {
	since, _, err := proc.Boot()
	if err == nil && youngest > 0 && time.Since(h.strange) < explains && since-time.Duration(youngest)*proc.Tick < explainsAlive {
		h.strange = time.Time{}
	}
}

// take takes up news, and reports whether to look.
func (h *heard) take(news []notice, now time.Time) (look bool) {
	if slices.Contains(news, aBuilder) {
		h.builder, look = now, true
	}
	mapped, strange := slices.Contains(news, aMapper), now.Sub(h.builder) >= explains
	if strange = strange && (mapped || slices.Contains(news, aDropIn)); strange {
		h.strange = now
	}
	if mapped || strange {
		h.began, look = now, true
	}
	return look
}
