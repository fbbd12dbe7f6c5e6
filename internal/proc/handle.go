// Package proc looks at processes: it holds them by pidfd, so that a recycled
// PID is never taken for the process that had it before, and reads /proc in
// ways that no process can make it hang with. It changes nothing but by Signal.
package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// ErrGone is returned for a process that has ended.
var ErrGone = errors.New("the process has ended")

// Identity tells a process from every other that this boot has seen, and can be
// written down: a PID, and when the process was started in clock ticks since
// boot.
type Identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// Handle is one process, held by pidfd. It stays that process's when the PID is
// used again.
type Handle struct {
	Identity
	fd *os.File
}

// Open takes hold of the process that has the PID now. The error is ErrGone where no
// process has it, which includes a PID that is a thread's now; any other error leaves open
// whether there is one.
//
// Source: pidfd_open(2): EINVAL, and ENOENT in later kernels, for a thread that leads no
// process; linux, kernel/pid.c, pidfd_prepare.
func Open(pid int) (*Handle, error) {
	// Non-blocking, so that os.File waits for it by epoll and not in a thread.
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK) // Linux 5.10
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	return FromPidfd(pid, os.NewFile(uintptr(fd), "pidfd"))
}

// FromPidfd makes a handle of a pidfd that somebody else opened for pid, and
// takes it over.
func FromPidfd(pid int, fd *os.File) (*Handle, error) {
	h := &Handle{Identity: Identity{PID: pid}, fd: fd}
	stat, err := h.Stat()
	if err != nil {
		h.Close()
		return nil, err
	}
	h.Start = stat.Starttime
	return h, nil
}

// Find takes hold of the process that was written down, or returns ErrGone.
func Find(id Identity) (*Handle, error) {
	h, err := Open(id.PID)
	if err != nil {
		return nil, err
	}
	if h.Identity != id {
		h.Close()
		return nil, ErrGone
	}
	return h, nil
}

// Close lets go of the process.
func (h *Handle) Close() { _ = h.fd.Close() }

// Alive reports whether the process has not ended yet. A zombie has.
func (h *Handle) Alive() bool {
	alive := false
	h.control(func(fd int) { alive = !ended(fd) })
	return alive
}

// ended asks a pidfd without waiting.
//
// Source: pidfd_open(2): a pidfd is readable when the process has terminated.
func ended(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || n > 0
		}
	}
}

func (h *Handle) control(f func(fd int)) {
	raw, err := h.fd.SyscallConn()
	if err == nil {
		_ = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}

// Wait returns nil when the process has ended, or the context's error. One
// goroutine may wait at a time.
func (h *Handle) Wait(ctx context.Context) error {
	raw, err := h.fd.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = h.fd.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool { return ended(int(fd)) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Signal sends a signal to this process and to no other.
//
// Source: pidfd_send_signal(2), Linux 5.1.
func (h *Handle) Signal(signal unix.Signal) error {
	err := ErrGone
	h.control(func(fd int) { err = unix.PidfdSendSignal(fd, signal, nil, 0) })
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	return err
}

// Pidfd returns a descriptor of its own for the process, for a child to inherit.
func (h *Handle) Pidfd() (*os.File, error) {
	fd, err := -1, ErrGone
	h.control(func(have int) { fd, err = unix.FcntlInt(uintptr(have), unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// Stat reads /proc/PID/stat of this very process: what is read while the
// process is still there can't be another's.
func (h *Handle) Stat() (procfs.ProcStat, error) { return read(h, procfs.Proc.Stat) }

// UID is the process's real UID.
func (h *Handle) UID() (uint32, error) {
	status, err := read(h, procfs.Proc.NewStatus)
	return uint32(status.UIDs[0]), err
}

// UIDs are the process's real, effective, saved and file system UID.
func (h *Handle) UIDs() ([4]uint32, error) {
	status, err := read(h, procfs.Proc.NewStatus)
	var uids [4]uint32
	for i, uid := range status.UIDs {
		uids[i] = uint32(uid)
	}
	return uids, err
}

// Exe is the path of the program that the process runs, as the kernel has it.
func (h *Handle) Exe() (string, error) {
	return read(h, func(p procfs.Proc) (string, error) {
		exe, err := p.Executable()
		if exe == "" && err == nil { // it has none, or its first thread has ended
			exe = Exe(h.PID)
		}
		return exe, err
	})
}

// Parent takes hold of the process's parent.
func (h *Handle) Parent() (*Handle, error) {
	before, err := h.Stat()
	if err != nil {
		return nil, err
	}
	if before.PPID == 0 {
		return nil, ErrGone // outside our PID namespace
	}
	parent, err := Open(before.PPID)
	if err != nil {
		return nil, err
	}
	after, err := h.Stat()
	if err != nil || after.PPID != before.PPID {
		parent.Close()
		return nil, ErrGone // the PID may have been used again before it was opened
	}
	return parent, nil
}

// Children lists the PIDs of the process's children, those among them that have ended and
// were not waited for. One that is started or ends meanwhile may be missing.
//
// Source: proc_tid_children(5).
func (h *Handle) Children() ([]int, error) {
	return read(h, func(p procfs.Proc) ([]int, error) {
		threads, err := procfs.AllThreads(p.PID)
		if err != nil {
			return nil, err
		}
		var children []int
		for _, thread := range threads {
			content, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.PID, thread.PID))
			if err != nil {
				continue // the thread has ended
			}
			for field := range strings.FieldsSeq(string(content)) {
				if pid, err := strconv.Atoi(field); err == nil {
					children = append(children, pid)
				}
			}
		}
		return children, nil
	})
}

// read reads something of the process from /proc, and believes it only if the
// process is still there afterwards.
func read[T any](h *Handle, get func(procfs.Proc) (T, error)) (T, error) {
	var zero T
	p, err := procfs.NewProc(h.PID)
	if err != nil {
		if !h.Alive() {
			return zero, ErrGone
		}
		return zero, err
	}
	value, err := get(p)
	if !h.Alive() {
		return zero, ErrGone
	}
	if err != nil {
		return zero, err
	}
	return value, nil
}
