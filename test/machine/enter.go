package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Cmd is a command to run inside a machine, as root.
type Cmd struct {
	Args []string
	// Dir is a directory inside the machine; "" is /root.
	Dir string
	// Env is added to the environment of a login.
	Env            []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Group puts the command into a process group of its own, so that signals
	// for the caller's group do not reach it by themselves.
	Group bool
}

// loginEnv is what root finds after a login.
var loginEnv = []string{
	"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8",
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}

// Start starts a command inside the machine, in a scope of its own under
// user.slice, where a login's session would be. The process of the result is
// the command itself: what signals it gets, and how it ends, is the command's.
// When ctx ends, it is killed.
func (m *Machine) Start(ctx context.Context, c Cmd) (*exec.Cmd, error) {
	// With --scope, systemd-run has itself put into the new scope, and then
	// becomes the command.
	args := []string{"/usr/bin/systemd-run", "--scope", "--quiet", "--collect", "--slice=user.slice"}
	literal, err := m.literalArgs()
	if err != nil {
		return nil, err
	}
	c.Args = slices.Concat(args, literal, []string{"--"}, c.Args)
	return m.start(ctx, c)
}

// literalArgs is what tells systemd-run not to expand variables in a command's
// arguments. With --scope that is not its way up to systemd 257; 262 expands.
func (m *Machine) literalArgs() ([]string, error) {
	program, err := os.ReadFile(m.Path("/usr/bin/systemd-run"))
	if err != nil {
		return nil, err
	}
	if bytes.Contains(program, []byte("expand-environment")) {
		return []string{"--expand-environment=no"}, nil
	}
	return nil, nil // one that never expands
}

// Run runs a command inside the machine as Start does, and waits for its end.
func (m *Machine) Run(ctx context.Context, c Cmd) error {
	cmd, err := m.Start(ctx, c)
	if err != nil {
		return err
	}
	return cmd.Wait()
}

// inside runs a program inside, in the cgroup of the machine's init; it is for
// setting the machine up. The error carries what the program said.
func (m *Machine) inside(ctx context.Context, args ...string) error {
	return m.quiet(ctx, Cmd{Args: args})
}

func (m *Machine) quiet(ctx context.Context, c Cmd) error {
	var said strings.Builder
	c.Args = append([]string{"/usr/bin/env"}, c.Args...)
	c.Stdout, c.Stderr = &said, &said
	cmd, err := m.start(ctx, c)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(c.Args[1:], " "), err, lastLine(said.String()))
	}
	return nil
}

// start starts a process in the namespaces and in the cgroup of the machine's
// init. Args[0] is an absolute path inside the machine.
func (m *Machine) start(ctx context.Context, c Cmd) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/root"
	}
	cmd.Env = append(append([]string{}, loginEnv...), c.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr

	// The process is born in its cgroup: a process can't be moved into a cgroup
	// namespace that it is outside of (nsdelegate), and must not sit in the
	// host's tree meanwhile. CLONE_INTO_CGROUP: since Linux 5.7.
	cgroup, err := os.Open(m.initCgroup)
	if err != nil {
		return nil, err
	}
	defer cgroup.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		UseCgroupFD: true,
		CgroupFD:    int(cgroup.Fd()),
		Setpgid:     c.Group,
	}

	started := make(chan error, 1)
	go func() {
		// Namespaces are a thread's, and children get their thread's. Never
		// unlocked: the thread ends with this goroutine and taints no other.
		runtime.LockOSThread()
		if err := m.enter(); err != nil {
			started <- err
			return
		}
		started <- cmd.Start()
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return cmd, nil
}

// enter moves the calling thread into the machine's namespaces, and what it
// starts into the machine's PID namespace. setns(2) by pidfd: since Linux 5.8.
func (m *Machine) enter() error {
	// A thread that shares its root directory with others can't change it.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
		unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	if err := unix.Setns(m.leader, all); err != nil {
		return fmt.Errorf("enter the machine: %w", err)
	}
	return nil
}

// ExitCode turns the result of a command into what a shell would make of it.
// ok is false for an error that is no command's exit.
func ExitCode(err error) (code int, ok bool) {
	if err == nil {
		return 0, true
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, false
	}
	if status, isUnix := exit.Sys().(syscall.WaitStatus); isUnix && status.Signaled() {
		return 128 + int(status.Signal()), true
	}
	return exit.ExitCode(), true
}
