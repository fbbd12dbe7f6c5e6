package wrapper

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/wire"
)

// errPatience is returned when the daemon has not answered in time.
var errPatience = errors.New("buildwatchd did not answer in time")

// errLost is returned when the daemon has ended the conversation without a word.
var errLost = errors.New("buildwatchd closed the connection")

// daemon is a connection to buildwatchd. It speaks to the kernel directly: the
// net package would cost every call of the runtime its start-up time.
type daemon struct {
	socket   int
	claim    int // the claim, see package wire; -1 until it has come
	deadline time.Time
}

// dial connects without waiting: a daemon whose backlog is full, or that is
// not there, is an answer too.
func dial(path string, deadline time.Time) (*daemon, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(socket, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(socket)
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	return &daemon{socket: socket, claim: -1, deadline: deadline}, nil
}

func (d *daemon) close() {
	_ = unix.Close(d.socket)
	if d.claim >= 0 {
		_ = unix.Close(d.claim)
	}
}

// prepare asks for a place for container. The claim comes with the answer.
func (d *daemon) prepare(container string) (wire.Message, error) {
	return d.ask(wire.Message{Type: wire.Prepare, Container: container})
}

// outside tells that container will be made elsewhere, and expects no answer: it is
// looked for then, as soon as it is there.
func (d *daemon) outside(container string) {
	_ = unix.Sendmsg(d.socket, wire.Encode(wire.Message{Type: wire.Outside, Container: container}), nil, nil, unix.MSG_NOSIGNAL)
}

// enter asks to be moved. On errPatience the daemon may or may not have acted:
// takeBack tells.
func (d *daemon) enter() (wire.Message, error) { return d.ask(wire.Message{Type: wire.Enter}) }

func (d *daemon) ask(m wire.Message) (wire.Message, error) {
	if err := unix.Sendmsg(d.socket, wire.Encode(m), nil, nil, unix.MSG_NOSIGNAL); err != nil {
		return wire.Message{}, fmt.Errorf("send request: %w", lost(err))
	}
	return d.receive()
}

// takeBack withdraws the request. It returns false when the daemon has claimed
// it already, and so acts on it.
func (d *daemon) takeBack() bool {
	var b [1]byte
	for {
		n, err := unix.Read(d.claim, b[:]) // never blocks: the daemon made it so
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

// awaitOutcome waits until the daemon, which has claimed the request, has acted on it, or has
// ended. There is no time for that: the runtime must not begin while this process may be
// moved. A daemon that hangs meanwhile is ended by its watchdog.
func (d *daemon) awaitOutcome() {
	for d.claim >= 0 {
		poll := []unix.PollFd{{Fd: int32(d.claim)}}
		if _, err := unix.Poll(poll, -1); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// lost turns the errors of a connection whose other end is closed into errLost.
func lost(err error) error {
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		return errLost
	}
	return err
}

// receive waits for the next message until the deadline.
func (d *daemon) receive() (wire.Message, error) {
	packet := make([]byte, wire.MaxMessage+1)
	control := make([]byte, unix.CmsgSpace(4))
	for {
		n, controlLen, _, _, err := unix.Recvmsg(d.socket, packet, control, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == nil && n == 0:
			return wire.Message{}, errLost
		case err == nil:
			d.keepClaim(control[:controlLen])
			return wire.Decode(packet[:n])
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EAGAIN):
			return wire.Message{}, fmt.Errorf("read answer: %w", lost(err))
		}
		left := time.Until(d.deadline)
		if left <= 0 {
			return wire.Message{}, errPatience
		}
		// Rounded up: poll(2) counts milliseconds, and 0 would spin.
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(d.socket), Events: unix.POLLIN}}, int(left/time.Millisecond)+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return wire.Message{}, fmt.Errorf("wait for answer: %w", err)
		}
	}
}

func (d *daemon) keepClaim(control []byte) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return
	}
	if fds, err := unix.ParseUnixRights(&messages[0]); err == nil && len(fds) == 1 {
		d.claim = fds[0]
	}
}
