package client

import (
	"context"
	"errors"
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
	return failure{kind, reason(err), err}
}

// failure is one of the kinds above, with the reason in words for people. Package net's are
// for those who know its calls.
type failure struct {
	kind   error
	reason string // may be empty
	why    error
}

func (f failure) Error() string {
	if f.reason == "" {
		return f.kind.Error()
	}
	return f.kind.Error() + " (" + f.reason + ")"
}

func (f failure) Unwrap() []error { return []error{f.kind, f.why} }

// reason says why a connection could not be made.
func reason(err error) string {
	socket := "its socket"
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Addr != nil {
		socket = op.Addr.String()
	}
	var number syscall.Errno
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no " + socket
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, connectionRefused):
		return "nobody listens at " + socket
	case errors.As(err, &number):
		return socket + ": " + number.Error() // the kernel's words
	}
	return ""
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
		return failure{ErrClosed, "", err}
	}
	return failure{ErrNotBuildwatchd, "", err}
}
