//go:build linux

package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
)

// Options says what is to be run.
type Options struct {
	Command []string // looked for in $PATH as a shell would
	Socket  string   // of the daemon
	Request api.RunRequest
	// Strict: without the daemon the command must not run.
	Strict bool
	// Say shows one line to the user.
	Say func(line string)
	// Why says, for a person, why the build has ended if somebody ended it; "" otherwise.
	Why func(ctx context.Context, build string) string
}

// exitError is why the command does not run.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }

// find looks the command up.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrDot) {
		err = nil // who has "." in $PATH means it
	}
	if err == nil {
		return path, nil
	}
	code := ExitCannotInvoke
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = ExitNotFound
	}
	lookup, ok := errors.AsType[*exec.Error](err)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		err = errNotInPath
	case ok:
		err = bare(lookup.Err)
	}
	return "", exitError{code, fmt.Errorf("%q: %w", name, err)}
}

var errNotInPath = errors.New("there is no such command in $PATH")

// bare is an error of a file's without Go's name for the call, and without the file's.
func bare(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}

// command is the one that was started.
type command struct {
	process *os.Process
	link    int    // our end of the socket pair
	build   string // its build's ID, "" where it is not supervised
	short   shortages
}

// start starts the child with the descriptors, in a session of its own. With
// terminal its stdin becomes the session's terminal.
func start(path string, argv []string, files []*os.File, terminal bool) (*command, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	defer unix.Close(pair[1])
	// It is inherited by number: a place among the first would be one that the
	// command may have got from its caller. Nothing else is started meanwhile.
	if _, err := unix.FcntlInt(uintptr(pair[1]), unix.F_SETFD, 0); err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("make a socket pair: %w", err)
	}
	args := append([]string{ChildName, strconv.Itoa(pair[1]), path}, argv...)
	process, err := os.StartProcess("/proc/self/exe", args, &os.ProcAttr{
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: terminal, Ctty: 0},
	})
	if err != nil {
		unix.Close(pair[0])
		return nil, fmt.Errorf("start: %w", err)
	}
	return &command{process: process, link: pair[0]}, nil
}

// place has the child placed, decides whether it may go on, and waits until it is
// the command.
func (c *command) place(o Options) error {
	defer unix.Close(c.link)
	var answer report
	err := send(c.link, order{o.Socket, o.Request})
	if err == nil {
		err = receive(c.link, &answer)
	}
	switch {
	case err != nil:
		return exitError{ExitOwn, fmt.Errorf("the process that was to become the command has ended: %w", err)}
	case answer.Part && o.Strict:
		return exitError{ExitOwn, fmt.Errorf("a part of a build can't have limits, a deadline or a name of its own: %s", answer.Error)}
	case answer.Part:
		// It is watched with the build that it is part of: nothing to be warned of.
	case answer.Error != "" && o.Strict:
		return exitError{ExitOwn, fmt.Errorf("limits and deadlines need the daemon: %s", answer.Error)}
	case answer.Error != "":
		o.Say("warning: the build runs unwatched: " + answer.Error)
	}
	c.build = answer.ID
	c.short.follow(o, c.build) // before it can be short of anything
	if err := send(c.link, struct{}{}); err != nil {
		return exitError{ExitOwn, fmt.Errorf("the process that was to become the command has ended: %w", err)}
	}
	var failure report
	if receive(c.link, &failure) != nil {
		return nil // the link was closed by execve
	}
	code := ExitCannotInvoke
	if failure.Errno == syscall.ENOENT {
		code = ExitNotFound
	}
	return exitError{code, fmt.Errorf("%q: %w", o.Command[0], failure.Errno)}
}

// signal sends a signal to all of the command's process group.
func (c *command) signal(s syscall.Signal) { _ = unix.Kill(-c.process.Pid, s) }
