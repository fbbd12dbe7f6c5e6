package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrGone is returned for a peer that ended before it could be held.
var ErrGone = errors.New("the peer has ended")

// FromConn asks the kernel who connected. On any error nobody is known, and the
// peer is to be refused. The caller closes the credentials.
func FromConn(conn syscall.Conn) (Credentials, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Credentials{}, fmt.Errorf("peer credentials: %w", err)
	}
	var (
		c      Credentials
		failed error
	)
	if err := raw.Control(func(fd uintptr) { c, failed = lookup(int(fd)) }); err != nil {
		return Credentials{}, fmt.Errorf("peer credentials: %w", err)
	}
	if failed != nil {
		return Credentials{}, fmt.Errorf("peer credentials: %w", failed)
	}
	return c, nil
}

func lookup(socket int) (Credentials, error) {
	ucred, err := unix.GetsockoptUcred(socket, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Credentials{}, fmt.Errorf("SO_PEERCRED: %w", err)
	}
	// The kernel answers -1 for a socket that never had a peer, and PID 0 for a
	// peer that our PID namespace has no number for.
	if ucred.Uid == NoID || ucred.Gid == NoID || ucred.Pid <= 0 {
		return Credentials{}, fmt.Errorf("SO_PEERCRED: a peer without identity (pid %d)", ucred.Pid)
	}
	fd, exact, err := pidfd(socket, int(ucred.Pid))
	if err != nil {
		return Credentials{}, err
	}
	c := Credentials{
		PID: int(ucred.Pid), Pidfd: fd, Exact: exact,
		known: true, uid: ucred.Uid, gid: ucred.Gid,
	}
	if c.uid == 0 {
		stranger, err := foreign(c.PID, fd)
		if err != nil {
			_ = fd.Close()
			return Credentials{}, err
		}
		if stranger {
			c.uid, c.gid = OverflowID, OverflowID
		}
	}
	return c, nil
}

// pidfd holds the peer's process: the one that connected where the kernel can
// tell, else the one that has the PID now.
func pidfd(socket, pid int) (fd *os.File, exact bool, err error) {
	n, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEERPIDFD) // Linux 6.5
	if errors.Is(err, unix.ENOPROTOOPT) {
		fd, err := openPidfd(pid)
		return fd, false, err
	}
	if err != nil {
		// ESRCH, or EINVAL before Linux 6.9: the peer ended, and was reaped.
		return nil, false, fmt.Errorf("SO_PEERPIDFD: %w", err)
	}
	// Non-blocking, so that os.File waits for it by epoll and not in a thread.
	if err := unix.SetNonblock(n, true); err != nil {
		_ = unix.Close(n)
		return nil, false, fmt.Errorf("SO_PEERPIDFD: %w", err)
	}
	return os.NewFile(uintptr(n), "pidfd"), true, nil
}

func openPidfd(pid int) (*os.File, error) {
	n, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK) // Linux 5.10
	if errors.Is(err, unix.ESRCH) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd_open: %w", err)
	}
	return os.NewFile(uintptr(n), "pidfd"), nil
}

// foreign reports whether a process lives in another user or PID namespace than
// we do. Root in a container whose user namespace maps 0 to 0 has our number 0.
func foreign(pid int, fd *os.File) (bool, error) {
	differ := false
	for _, kind := range []string{"user", "pid"} {
		ours, err := os.Readlink(filepath.Join("/proc/self/ns", kind))
		if err != nil {
			return false, err
		}
		theirs, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", kind))
		if err != nil {
			return false, fmt.Errorf("the peer's namespaces: %w", err)
		}
		differ = differ || ours != theirs
	}
	// What was read is the peer's only if the peer is still there.
	if ended(fd) {
		return false, ErrGone
	}
	return differ, nil
}

// ended asks without waiting. In doubt it is true.
//
// Source: pidfd_open(2): a pidfd is readable when the process has terminated.
func ended(fd *os.File) bool {
	raw, err := fd.SyscallConn()
	if err != nil {
		return true
	}
	over := true
	_ = raw.Control(func(fd uintptr) {
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			if !errors.Is(err, unix.EINTR) {
				over = err != nil || n > 0
				return
			}
		}
	})
	return over
}
