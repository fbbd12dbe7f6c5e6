package client

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestFailedConnects(t *testing.T) {
	for cause, want := range map[error]error{
		syscall.ENOENT:           ErrNotRunning,
		syscall.ECONNREFUSED:     ErrNotRunning,
		connectionRefused:        ErrNotRunning,
		syscall.EACCES:           ErrPermission,
		syscall.EAGAIN:           ErrBusy,
		syscall.EMFILE:           ErrUnreachable,
		context.DeadlineExceeded: ErrNoAnswer,
	} {
		err := dialError(&net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", cause)})
		if !errors.Is(err, want) || !errors.Is(err, cause) {
			t.Errorf("%v: got %v, want %v", cause, err, want)
		}
		if got := callError(t.Context(), err); got != err {
			t.Errorf("%v: got %v from callError", cause, got)
		}
	}
}
