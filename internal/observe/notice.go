package observe

import (
	"context"
	"os"
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
type notices struct {
	file *os.File
}

func openNotices() (*notices, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	n := &notices{os.NewFile(uintptr(fd), "inotify")}
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
	})
}

// wait returns true when a program was executed, false when the time is over or
// the context has ended.
func (n *notices) wait(ctx context.Context, limit time.Duration) bool {
	stop := context.AfterFunc(ctx, func() { _ = n.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if n.file.SetReadDeadline(time.Now().Add(limit)) != nil || ctx.Err() != nil {
		return false
	}
	var events [4096]byte // what they say is not looked at: a look at /proc says more
	_, err := n.file.Read(events[:])
	return err == nil
}

func (n *notices) close() { _ = n.file.Close() }
