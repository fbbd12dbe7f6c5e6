package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/test/machine"
)

// endTimeout is how long a command that was told to end may take. More than
// that, and the machine ends under it.
const endTimeout = 20 * time.Second

// A session is one call of testmachine, from its signals' point of view.
type session struct {
	suite         *string
	vm            bool
	kernel        string
	selinux       bool
	podmanMachine bool
	with          string
	signals       chan os.Signal
	cancel        context.CancelCauseFunc
}

// cancelOnSignal lets the next signal that would end a process cancel the
// session's context, until stop is called.
func (s *session) cancelOnSignal() (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case sig := <-s.signals:
				s.cancel(fmt.Errorf("ended by a signal: %v", sig))
			case <-stopped:
				return
			}
		}
	}()
	return func() { close(stopped); <-ended }
}

// run boots a machine, runs a command in it and tears it down.
func (s *session) run(ctx context.Context, args []string, install bool) (err error) {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	stop := s.cancelOnSignal()
	m, err := s.boot(ctx, dir, install)
	stop()
	if err != nil {
		return cause(ctx, err)
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if context.Cause(ctx) != nil {
		return context.Cause(ctx)
	}
	if args[0], err = m.Program(args[0]); err != nil {
		return err
	}
	// At a terminal the command shares our process group, so that it may read
	// and gets ^C from the terminal itself; elsewhere signals come through us.
	terminal := isTerminal(os.Stdin)
	c := machine.Cmd{
		Args: args, Env: passedEnv(), Group: !terminal,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
	if inside, ok := m.Inside(dir); ok {
		c.Dir = inside
	}
	cmd, err := m.Start(ctx, c)
	if err != nil {
		return err
	}
	err = s.wait(cmd, terminal)
	if code, ok := machine.ExitCode(err); ok {
		if code == 0 {
			return nil
		}
		return ExitError(code)
	}
	return err
}

// A guest is a machine, or a VM.
type guest interface {
	Install(context.Context) error
	Program(name string) (string, error)
	Inside(dir string) (string, bool)
	Start(context.Context, machine.Cmd) (*exec.Cmd, error)
	Close() error
}

func (s *session) options(source string) machine.Options {
	return machine.Options{Suite: *s.suite, Source: source, PodmanMachine: s.podmanMachine, With: s.with, Kernel: s.kernel, SELinux: s.selinux, Say: say}
}

func (s *session) boot(ctx context.Context, dir string, install bool) (guest, error) {
	opts := s.options(machine.FindSource(dir))
	var m guest
	var err error
	if s.vm {
		m, err = machine.BootVM(ctx, opts)
	} else {
		m, err = machine.Boot(ctx, opts)
	}
	if err != nil || !install {
		return m, err
	}
	if err := m.Install(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// wait waits for the command's end and hands it the signals that we get.
func (s *session) wait(cmd *exec.Cmd, terminal bool) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var deadline <-chan time.Time
	for {
		select {
		case err := <-ended:
			return err
		case <-deadline:
			say("the command did not end within %s, killing it", endTimeout)
			s.cancel(errors.New("it did not end"))
			deadline = nil
		case sig := <-s.signals:
			fromTerminal := terminal && (sig == unix.SIGINT || sig == unix.SIGQUIT)
			if !fromTerminal {
				_ = cmd.Process.Signal(sig) // fails only when it has ended
			}
			if sig == unix.SIGINT || sig == unix.SIGTERM {
				// An interactive shell lives on after ^C, as it should.
				if !fromTerminal && deadline == nil {
					deadline = time.After(endTimeout)
				}
			}
		}
	}
}

// cause prefers what ended ctx to the error that it led to.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}

// passedEnv is what the command sees of our environment.
func passedEnv() []string {
	var env []string
	for _, name := range []string{"TERM", "CI", "GOTRACEBACK"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
