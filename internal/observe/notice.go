package observe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// notices tells when a builder's program is executed: a file is opened then, and
// so the kernel tells. Nothing is asked for meanwhile, so that a host on which
// nothing is built costs nothing. podman and buildah execute themselves again for
// each step, whatever isolation it has.
//
// Source: inotify(7); linux, fs/exec.c, do_open_execat.
//
// Any other program that has buildah built in does the same. It is watched from when one
// look has seen it. For that look it gives notice by newuidmap, which every rootless one
// executes before its first step, unless it is in a user namespace already.
//
// Source: containers/storage, pkg/unshare/unshare_linux.go, Cmd.Start.
type notices struct {
	file    *os.File
	mu      sync.Mutex     // lock order: 5
	mappers map[int32]bool // watches of newuidmap
}

func openNotices() (*notices, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	n := &notices{file: os.NewFile(uintptr(fd), "inotify"), mappers: map[int32]bool{}}
	n.refresh()
	return n, nil
}

// refresh watches the programs that are installed now. A file that is watched
// already is not watched twice, and one that was replaced lets go by itself.
func (n *notices) refresh() {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		for _, program := range podman.Programs() {
			_, _ = unix.InotifyAddWatch(int(fd), program, unix.IN_OPEN)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, mapper := range podman.Mappers() {
			if watch, err := unix.InotifyAddWatch(int(fd), mapper, unix.IN_OPEN); err == nil {
				n.mappers[int32(watch)] = true
			}
		}
	})
}

// add watches one more program, that a descriptor (O_PATH) leads to.
func (n *notices) add(program *os.File) error {
	raw, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	var watchErr error
	err = raw.Control(func(fd uintptr) {
		_, watchErr = unix.InotifyAddWatch(int(fd), fmt.Sprintf("/proc/self/fd/%d", program.Fd()), unix.IN_OPEN)
	})
	return errors.Join(err, watchErr)
}

// notice is what was executed.
type notice string

const (
	nothing  notice = ""
	aBuilder notice = "a builder"
	aMapper  notice = "a mapper of UIDs"
)

// wait returns what was executed, or nothing when the context has ended. It has no time limit:
// a timer that runs out would be all that an idle daemon does.
func (n *notices) wait(ctx context.Context) notice {
	stop := context.AfterFunc(ctx, func() { _ = n.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var events [4096]byte
	length, err := n.file.Read(events[:])
	if err != nil {
		return nothing
	}
	// A file that is watched by itself has events without a name.
	for at := 0; at+unix.SizeofInotifyEvent <= length; at += unix.SizeofInotifyEvent {
		n.mu.Lock()
		mapper := n.mappers[int32(binary.NativeEndian.Uint32(events[at:]))]
		n.mu.Unlock()
		if mapper {
			return aMapper
		}
	}
	return aBuilder
}

func (n *notices) close() { _ = n.file.Close() }
