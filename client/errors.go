package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"syscall"
)

// Why no answer came. All of them wrap the cause.
var (
	// ErrNotRunning: nobody listens at the socket.
	ErrNotRunning = errors.New("buildwatchd is not running")
	// ErrUnreachable: connecting failed for a reason that says nothing of the
	// daemon, such as too many open files.
	ErrUnreachable = errors.New("cannot connect to buildwatchd")
	// ErrPermission: the socket's permissions keep this user out.
	ErrPermission = errors.New("no permission to connect to buildwatchd")
	// ErrBusy: the socket's queue stayed full until the context's end.
	ErrBusy = errors.New("buildwatchd takes no more connections")
	// ErrClosed: the daemon closed the connection without an answer. It does so
	// at once when the user has too many open, and it does so when it ends.
	ErrClosed = errors.New("buildwatchd closed the connection without an answer")
	// ErrNoAnswer: the context's time was over.
	ErrNoAnswer = errors.New("buildwatchd does not answer")
	// ErrNotBuildwatchd: what answers does not speak the control API.
	ErrNotBuildwatchd = errors.New("the answer is not buildwatchd's")
)

// isQueueFull tells that more want to connect than the daemon has accepted yet.
// Go returns the error at once where a blocking connect would wait.
//
// Source: connect(2), EAGAIN.
func isQueueFull(err error) bool { return errors.Is(err, syscall.EAGAIN) }

// connectionRefused is WSAECONNREFUSED, which package syscall does not map to
// ECONNREFUSED. No other system has an error of this number.
const connectionRefused = syscall.Errno(10061)

// dialError says what a failed connect means.
func dialError(err error) error {
	kind := ErrUnreachable
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, connectionRefused):
		kind = ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		kind = ErrPermission
	case isQueueFull(err):
		kind = ErrBusy
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return noAnswer{err}
	}
	return fmt.Errorf("%w (%w)", kind, err)
}

// noAnswer is ErrNoAnswer for people: why the context has ended tells them nothing.
type noAnswer struct{ why error }

func (s noAnswer) Error() string   { return ErrNoAnswer.Error() }
func (s noAnswer) Unwrap() []error { return []error{ErrNoAnswer, s.why} }

// callError says what a request that got no answer means. The URL that package
// http puts in front tells nobody anything.
func callError(ctx context.Context, err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	for _, known := range []error{ErrNotRunning, ErrUnreachable, ErrPermission, ErrBusy, ErrNoAnswer} {
		if errors.Is(err, known) {
			return err
		}
	}
	var broken *net.OpError
	switch {
	case ctx.Err() != nil:
		return noAnswer{ctx.Err()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &broken):
		return fmt.Errorf("%w (%w)", ErrClosed, err)
	}
	return fmt.Errorf("%w: %w", ErrNotBuildwatchd, err)
}
