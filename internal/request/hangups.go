package request

import (
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxWatched is how many of a request's connections the kernel tells of.
const maxWatched = 64

// hangups has the kernel tell when the clients of a service's connections go. It is given
// duplicates, which are closed at once: what an epoll instance is asked to watch belongs to
// the open file, which the service has, and it keeps no file open. So the client sees the
// service close as it would without.
//
// Source: epoll(7), "Questions and answers"; linux, fs/eventpoll.c, ep_insert,
// eventpoll_release_file.
type hangups struct {
	told  chan struct{} // has an element when the kernel has told of one
	epoll *os.File      // nil where there is none
	done  chan struct{}

	mu      sync.Mutex      // lock order: 7
	watched map[uint64]bool // by cookie; false for one of which was told
}

func newHangups() *hangups {
	h := &hangups{told: make(chan struct{}, 1), done: make(chan struct{}), watched: map[uint64]bool{}}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that os.File waits for it, and not a thread
		h.epoll = os.NewFile(uintptr(fd), "epoll")
	}
	if err != nil {
		close(h.done)
		return h
	}
	go h.wait()
	return h
}

// wait tells of hangups until the instance is closed.
func (h *hangups) wait() {
	defer close(h.done)
	raw, err := h.epoll.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		h.take(int(fd))
		return false
	})
}

// take takes up what the kernel tells.
func (h *hangups) take(epoll int) {
	events := make([]unix.EpollEvent, maxWatched)
	for {
		n, err := unix.EpollWait(epoll, events, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 {
			return
		}
		h.mu.Lock()
		for _, e := range events[:n] {
			h.watched[uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32] = false
		}
		h.mu.Unlock()
		select {
		case h.told <- struct{}{}:
		default:
		}
	}
}

// watch has the connection watched of which fd is a duplicate: until it is told of once. A
// client that sends no more, and goes later, is told of at the former.
func (h *hangups) watch(cookie uint64, fd int) {
	if h.epoll == nil {
		return
	}
	h.mu.Lock()
	_, known := h.watched[cookie]
	may := !known && len(h.watched) < maxWatched
	if may {
		h.watched[cookie] = true
	}
	h.mu.Unlock()
	if !may {
		return
	}
	raw, err := h.epoll.SyscallConn()
	if err == nil {
		event := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(uint32(cookie)), Pad: int32(uint32(cookie >> 32))}
		controlErr := raw.Control(func(epoll uintptr) { err = unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, fd, &event) })
		err = errors.Join(err, controlErr)
	}
	if err != nil {
		h.mu.Lock()
		h.watched[cookie] = false
		h.mu.Unlock()
	}
}

// tells reports whether the kernel will tell of the connection's client.
func (h *hangups) tells(c Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watched[c.Cookie]
}

func (h *hangups) close() {
	if h.epoll != nil {
		_ = h.epoll.Close()
	}
	<-h.done
}
