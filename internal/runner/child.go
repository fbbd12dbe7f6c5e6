//go:build linux

package runner

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// ChildName is argv[0] of the process that becomes the command. Its arguments are
// the number of its end of a socket pair, the command's path, and the command's
// argv.
const ChildName = "buildwatchctl-run"

// patience is how long to wait for the daemon before the command runs without it.
const patience = api.RunTimeout + 500*time.Millisecond

// order is what the child is told first.
type order struct {
	Socket  string         `json:"socket"`
	Request api.RunRequest `json:"request"`
}

// report is what it answers: once before it becomes the command, and once more if
// it can't. Without a second one, it has.
type report struct {
	ID    string        `json:"id,omitempty"`    // of its build
	Error string        `json:"error,omitempty"` // why it has none
	Part  bool          `json:"part,omitempty"`  // because it is part of another, and watched with that
	Errno syscall.Errno `json:"errno,omitempty"` // why it is not the command
}

// maxPacket is the size of the largest order or report.
const maxPacket = 64 << 10

// Child is the main function of a process that was started as ChildName. It returns
// only when the process has not become the command.
func Child(args []string, environment []string) int {
	if len(args) < 3 {
		return ExitOwn
	}
	fd, err := strconv.Atoi(args[0])
	if err != nil {
		return ExitOwn
	}
	unix.CloseOnExec(fd)
	var o order
	if receive(fd, &o) != nil {
		return ExitOwn
	}
	if send(fd, ask(o)) != nil {
		return ExitOwn
	}
	var goOn struct{}
	if receive(fd, &goOn) != nil {
		return ExitOwn // who waits for us has decided otherwise, or is gone
	}
	// It gives back the limit on open files that Go has raised. SIGHUP and SIGINT
	// stay ignored where they were.
	err = syscall.Exec(args[1], args[2:], environment)
	var errno syscall.Errno
	errors.As(err, &errno)
	_ = send(fd, report{Errno: errno})
	return ExitCannotInvoke
}

// ask has the daemon place this process. A daemon that ends amid it is started again at once,
// and its socket is there all the time: the next one is asked once more.
func ask(o order) report {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := client.New(o.Socket)
	defer c.Close()
	for again := false; ; again = true {
		b, err := c.Run(ctx, o.Request)
		var refusal *api.Error
		refused := errors.As(err, &refusal)
		part := refused && refusal.Code == api.CodePart
		switch {
		case err == nil:
			return report{ID: b.ID}
		case again && part:
			return report{} // it is placed: the answer was lost
		case again || refused || ctx.Err() != nil:
			return report{Error: err.Error(), Part: part}
		}
	}
}

func send(fd int, document any) error {
	packet, err := json.Marshal(document)
	if err != nil {
		return err
	}
	for {
		err = unix.Sendto(fd, packet, unix.MSG_NOSIGNAL, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func receive(fd int, document any) error {
	packet := make([]byte, maxPacket)
	for {
		n, err := unix.Read(fd, packet)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return io.EOF
		default:
			return json.Unmarshal(packet[:n], document)
		}
	}
}
