package request

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// Conn is one connection that the service has accepted: a descriptor of its, which
// keeps its number for as long as it is open.
type Conn struct {
	FD     int    `json:"fd,omitempty"` // earlier daemons have not written it down
	Cookie uint64 `json:"cookie"`       // the kernel's, never used again
	// Inode is of a socket that can't be looked at more closely, and may be no
	// connection. Its number may be used again.
	Inode uint64 `json:"inode,omitempty"`
}

// blind says that of the connection it is seen only whether the service has it.
func (c Conn) blind() bool { return c.Cookie == 0 }

// end says how much of a connection is over.
type end uint8

const (
	open    end = iota
	leaving     // its peer sends no more; it may still read
	hungUp      // its peer is gone
	closed      // the service has closed it
)

// maxDescriptors is how many of a service's descriptors are looked at when a request is
// seen: a look at one costs some microseconds.
const maxDescriptors = 16384

// accepted lists the connections that the process has accepted on the sockets that it
// listens on: they bear a listening socket's address. all is false where there may be
// more. A connection that is open all the while is not missed.
//
// Each is looked at by a duplicate, since a unix connection is listed in the network
// namespace of its client only, which nobody but the service has a way to. Where that is
// forbidden all of its sockets may be such connections.
func accepted(service *proc.Handle) (conns []Conn, all bool, err error) {
	files, err := service.Files()
	if err != nil {
		return nil, false, err
	}
	defer files.Close()
	numbers, all, err := files.Numbers(maxDescriptors)
	if err != nil {
		return nil, false, err
	}
	var streams []stream
	served := map[string]bool{}
	for _, number := range numbers {
		inode, err := socketAt(files, number)
		if err != nil {
			return nil, false, err
		}
		if inode == 0 {
			continue
		}
		var found stream
		err = files.With(number, func(fd int) error {
			found, err = streamOf(fd)
			return err
		})
		switch {
		case errors.Is(err, unix.EBADF), errors.Is(err, unix.ENOTSOCK): // closed meanwhile, and used again
		case forbidden(err):
			return sockets(files, numbers, all)
		case err != nil:
			return nil, false, err
		case found.listens:
			served[found.address] = true
		case found.Cookie != 0:
			found.FD = number
			streams = append(streams, found)
		}
	}
	for _, s := range streams {
		if served[s.address] {
			conns = append(conns, s.Conn)
		}
	}
	return conns, all && len(served) > 0, nil
}

// stream is a socket of the service's that listens, or is connected.
type stream struct {
	Conn
	address string
	listens bool
}

// streamOf looks at a socket. It is empty for one that is no stream.
func streamOf(fd int) (s stream, err error) {
	if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_STREAM {
		return s, err
	}
	if s.address, err = addressOf(fd); err != nil {
		return s, err
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if s.listens = listens != 0; err != nil || s.listens {
		return s, err
	}
	s.Cookie, err = cookieOf(fd)
	return s, err
}

// forbidden reports whether a look by a duplicate is not allowed: to everybody where Yama's
// ptrace_scope is 3, in a container of systemd-nspawn without --system-call-filter=.
func forbidden(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS)
}

// sockets are those of the descriptors that may be connections.
func sockets(files *proc.Files, numbers []int, all bool) (conns []Conn, every bool, err error) {
	for _, number := range numbers {
		inode, err := socketAt(files, number)
		if err != nil {
			return nil, false, err
		}
		if inode != 0 {
			conns = append(conns, Conn{FD: number, Inode: inode})
		}
	}
	return conns, all, nil
}

// socketAt is the inode of the socket that the process has at a number, or 0.
func socketAt(files *proc.Files, number int) (inode uint64, err error) {
	target, err := files.Target(number)
	if err != nil {
		return 0, err
	}
	digits, ok := strings.CutPrefix(target, "socket:[")
	if !ok {
		return 0, nil
	}
	return strconv.ParseUint(strings.TrimSuffix(digits, "]"), 10, 64)
}

// addressOf is what a listening socket and the connections accepted on it have in
// common. Of the internet's protocols it is the port alone: one connection too many is
// one more to wait for.
func addressOf(fd int) (string, error) {
	address, err := unix.Getsockname(fd)
	if err != nil {
		return "", fmt.Errorf("a socket's address: %w", err)
	}
	switch a := address.(type) {
	case *unix.SockaddrUnix:
		return "unix:" + a.Name, nil
	case *unix.SockaddrInet4:
		return fmt.Sprintf("port %d", a.Port), nil
	case *unix.SockaddrInet6:
		return fmt.Sprintf("port %d", a.Port), nil
	}
	return fmt.Sprintf("%T", address), nil
}

func cookieOf(fd int) (uint64, error) {
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("a socket's cookie: %w", err)
	}
	return cookie, nil
}

// sights looks at connections as they are now, and has what becomes of them later told.
func sights(service *proc.Handle, conns []Conn, later *hangups) ([]end, error) {
	files, err := service.Files()
	if err != nil && !errors.Is(err, proc.ErrGone) {
		return nil, err
	}
	gone := err != nil
	if !gone {
		defer files.Close()
	}
	ends := make([]end, len(conns))
	for i, c := range conns {
		if gone {
			ends[i] = closed
		} else if ends[i], err = c.sight(files, later); err != nil {
			return nil, err
		}
	}
	return ends, nil
}

func (c Conn) sight(files *proc.Files, later *hangups) (end, error) {
	inode, err := socketAt(files, c.FD)
	switch {
	case errors.Is(err, proc.ErrGone):
		return closed, nil
	case err != nil:
		return open, err
	case inode == 0, c.blind() && inode != c.Inode:
		return closed, nil
	case c.blind():
		return open, nil
	}
	now := closed // unless the number is that connection's
	err = files.With(c.FD, func(fd int) error {
		cookie, err := cookieOf(fd)
		if err == nil && cookie == c.Cookie {
			later.watch(cookie, fd) // first, so that nothing is missed
			now, err = endOf(fd)
		}
		return err
	})
	if errors.Is(err, proc.ErrGone) || errors.Is(err, unix.EBADF) || errors.Is(err, unix.ENOTSOCK) {
		return closed, nil
	}
	return now, err
}

// endOf asks the connection, without waiting.
//
// Source: linux, net/unix/af_unix.c, unix_release_sock and unix_poll; net/ipv4/tcp.c,
// tcp_poll: a TCP peer that is gone is one that sends no more, until it is written to.
func endOf(fd int) (end, error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	for {
		_, err := unix.Poll(poll, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return open, fmt.Errorf("a connection's state: %w", err)
		case poll[0].Revents&unix.POLLHUP != 0:
			return hungUp, nil
		case poll[0].Revents&unix.POLLRDHUP != 0:
			return leaving, nil
		}
		return open, nil
	}
}
