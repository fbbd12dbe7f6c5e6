//go:build linux

package runner

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is a pseudo-terminal between the user's and the command's. Without one
// the user's would send Ctrl+C to podman itself, which then ends at once and leaves
// all of its storage. Its methods do nothing on a nil *terminal.
type terminal struct {
	user  *os.File // the user's terminal
	inner *os.File // our end of the command's
	fd    int      // inner's descriptor: inner.Fd() would make its reads block
	files []*os.File
	slave *os.File // its other end

	pressed chan syscall.Signal // keys that are signals, for us to act on

	mu    sync.Mutex  // lock order: 1
	saved *term.State // what the user's terminal was; nil while it is that
	away  bool        // left, and not entered again

	wake    [2]*os.File // a pipe: its end ends the reading of keys
	resized chan os.Signal
	done    sync.WaitGroup
	shown   chan struct{} // closed when all that the command wrote has been shown
}

// openTerminal makes one where stdin is a terminal, and is ours to read. Of stdout
// and stderr those that are terminals become the command's too; the others stay
// what they are.
func openTerminal() (*terminal, error) {
	if !foreground(os.Stdin) {
		return nil, nil
	}
	master, slave, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	inner, fd, err := pollable(master)
	if err != nil {
		slave.Close()
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	t := &terminal{
		user: os.Stdin, inner: inner, fd: fd, slave: slave,
		pressed: make(chan syscall.Signal, 4), resized: make(chan os.Signal, 1), shown: make(chan struct{}),
	}
	for i, file := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if i == 0 || term.IsTerminal(int(file.Fd())) {
			file = slave
		}
		t.files = append(t.files, file)
	}
	if modes, err := unix.IoctlGetTermios(int(t.user.Fd()), unix.TCGETS); err == nil {
		_ = unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, modes)
	}
	t.resize()
	if t.wake[0], t.wake[1], err = os.Pipe(); err != nil {
		inner.Close()
		slave.Close()
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	return t, nil
}

// pollable takes a file over, and returns one whose reads end when it is closed.
func pollable(file *os.File) (*os.File, int, error) {
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, -1, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, -1, err
	}
	return os.NewFile(uintptr(fd), file.Name()), fd, nil
}

// resize gives the command's terminal the size of the user's.
func (t *terminal) resize() {
	if size, err := unix.IoctlGetWinsize(int(t.user.Fd()), unix.TIOCGWINSZ); err == nil {
		_ = unix.IoctlSetWinsize(t.fd, unix.TIOCSWINSZ, size)
	}
}

// foreground reports whether the file is a terminal that we may read from.
func foreground(file *os.File) bool {
	group, err := unix.IoctlGetInt(int(file.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// begin passes on what is typed and what the command shows. With intercept the keys
// for interrupt and suspend are ours to act on.
func (t *terminal) begin(intercept bool) {
	t.slave.Close() // the command's own copies are the last: their end is the output's
	t.slave = nil
	t.enter()
	signal.Notify(t.resized, syscall.SIGWINCH)
	t.done.Go(func() {
		for range t.resized {
			t.resize()
		}
	})
	t.done.Go(func() { t.read(intercept) })
	go func() {
		defer close(t.shown)
		t.show()
	}()
}

// keys are those that are signals.
func (t *terminal) keys() <-chan syscall.Signal {
	if t == nil {
		return nil
	}
	return t.pressed
}

// enter puts the user's terminal into raw mode, if it is ours.
func (t *terminal) enter() {
	if t == nil || !foreground(t.user) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = false
	if t.saved == nil {
		t.saved, _ = term.MakeRaw(int(t.user.Fd()))
	}
	t.resize()
}

// follow is enter for a terminal that a shell may have given back without a word.
func (t *terminal) follow() {
	t.mu.Lock()
	cooked := t.saved == nil && !t.away
	t.mu.Unlock()
	if cooked {
		t.enter()
	}
}

// leave gives the user's terminal back as it was. In the background it is not ours
// to change.
func (t *terminal) leave() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.away = true
	if t.saved != nil && foreground(t.user) {
		_ = term.Restore(int(t.user.Fd()), t.saved)
	}
	t.saved = nil
}

// drainTime is how long to wait, after the command's end, for processes that it has
// left and that hold its terminal open.
const drainTime = time.Second

func (t *terminal) close() {
	signal.Stop(t.resized)
	close(t.resized)
	t.wake[1].Close()
	t.done.Wait()
	if t.slave != nil {
		t.slave.Close() // begin was never called, and nothing is shown
	} else {
		select {
		case <-t.shown:
		case <-time.After(drainTime):
		}
	}
	t.inner.Close()
	if t.slave == nil {
		<-t.shown
	}
	t.wake[0].Close()
	t.leave()
}

// show writes what the command shows where its terminal would be.
func (t *terminal) show() {
	to := t.user
	for i, file := range []*os.File{os.Stdout, os.Stderr} {
		if t.files[i+1] != file {
			to = file
			break
		}
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := t.inner.Read(buffer)
		// A terminal that is gone takes nothing: it is read on all the same, or the
		// command would wait for ever.
		_, _ = to.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}

// look is how often it is looked whether the terminal has become ours.
const look = 200

// read passes on what is typed, until close.
func (t *terminal) read(intercept bool) {
	buffer := make([]byte, 4<<10)
	for {
		fds := []unix.PollFd{{Fd: int32(t.wake[0].Fd()), Events: unix.POLLIN}, {Fd: int32(t.user.Fd()), Events: unix.POLLIN}}
		if !foreground(t.user) {
			fds = fds[:1] // to read now would stop us
		} else {
			t.follow()
		}
		_, err := unix.Poll(fds, look)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || fds[0].Revents != 0:
			return
		case len(fds) == 1 || fds[1].Revents == 0:
			continue
		case fds[1].Revents&unix.POLLIN == 0:
			return // it was hung up
		}
		n, err := unix.Read(int(t.user.Fd()), buffer)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil || n == 0:
			return
		}
		t.pass(buffer[:n], intercept)
	}
}

// toMargin goes to the beginning of the line. In raw mode a line's end goes down only.
func (t *terminal) toMargin() { _, _ = t.user.WriteString("\r") }

// pass passes on typed bytes, but for the keys that are ours. A command that reads
// keys by itself, as an editor does, gets all of them.
func (t *terminal) pass(typed []byte, intercept bool) {
	modes, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if !intercept || err != nil || modes.Lflag&unix.ISIG == 0 {
		_, _ = t.inner.Write(typed)
		return
	}
	interrupt, suspend := modes.Cc[unix.VINTR], modes.Cc[unix.VSUSP]
	for len(typed) > 0 {
		i := bytes.IndexFunc(typed, func(r rune) bool { return r == rune(interrupt) || r == rune(suspend) })
		if i < 0 {
			_, _ = t.inner.Write(typed)
			return
		}
		_, _ = t.inner.Write(typed[:i])
		key, shown := unix.SIGTSTP, "^Z\r\n"
		if typed[i] == interrupt {
			key, shown = unix.SIGINT, "^C\r\n"
		}
		_, _ = t.user.WriteString(shown)
		t.pressed <- key
		typed = typed[i+1:]
	}
}
