// Package proctest starts the processes that tests look at and end. Each is killed
// and reaped when its test ends, and no test waits for one for ever. It imports
// nothing of the project, so that the tests of package proc can use it.
package proctest

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is longer than a process takes to say something, but in a broken test.
const patience = 30 * time.Second

// roleEnv makes a test's program play a role.
const roleEnv = "PROCTEST_ROLE"

// Roles are what a test's program can be, besides the tests: each is played until
// the function returns.
type Roles map[string]func(args []string) error

// Play plays the role that this process was started for, and exits; it returns at
// once in the process of the tests. It is for TestMain, before all else.
func (r Roles) Play() {
	role, ok := os.LookupEnv(roleEnv)
	if !ok {
		return
	}
	play := r[role]
	switch {
	case role == leaderless:
		play = func([]string) error {
			return LoseLeader(func() {
				Ready()
				UntilTold()
			})
		}
	case play == nil:
		play = func([]string) error { return errors.New("nobody plays this role") }
	}
	if err := play(os.Args[1:]); err != nil {
		_, _ = os.Stderr.WriteString(role + ": " + err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// InRole is the command that makes program, a test's own or a copy of it, play the
// role.
func InRole(program, role string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	// Without GORACE each exit takes a second under -race.
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	return cmd
}

// Ready says that the role has come to where the test wants it, for Child.Ready.
func Ready() { _, _ = os.Stdout.WriteString(ready + "\n") }

// UntilTold waits until the test calls Child.End, or ends.
func UntilTold() { _, _ = io.Copy(io.Discard, os.Stdin) }

const ready = "ready"

// Self is the program that runs the tests.
func Self(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// Copy copies the program to a file of that name in a directory where every user
// can run it, and returns its path.
func Copy(t testing.TB, program, name string) string {
	t.Helper()
	// The directory that holds those of t.TempDir is its user's alone.
	dir, err := os.MkdirTemp("", "proctest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, name)
	// Chmod, for a umask must not matter.
	err = errors.Join(os.WriteFile(to, content, 0o755), os.Chmod(to, 0o755), os.Chmod(dir, 0o755))
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// Child is a process that a test has started.
type Child struct {
	*exec.Cmd

	in     *os.File
	out    *os.File
	lines  *bufio.Reader
	status func() syscall.WaitStatus
}

// Start starts the command, whose standard input and output are the test's.
func Start(t testing.TB, cmd *exec.Cmd) *Child {
	t.Helper()
	// Not those of exec.Cmd, which closes them when the child is reaped: what it
	// has said may be read later.
	childIn, in := pipe(t)
	out, childOut := pipe(t)
	cmd.Stdin, cmd.Stdout = childIn, childOut
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = childIn.Close(), childOut.Close()
	c := &Child{Cmd: cmd, in: in, out: out, lines: bufio.NewReader(out)}
	c.status = sync.OnceValue(func() syscall.WaitStatus {
		_ = cmd.Wait()
		return cmd.ProcessState.Sys().(syscall.WaitStatus)
	})
	t.Cleanup(func() {
		c.End()
		_ = cmd.Process.Kill()
		c.status()
	})
	return c
}

// pipe makes a pipe that is closed when the test ends.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

// Shell starts a shell that runs script, and returns when it has. The shell then
// lives until it is told to end. change may change the command first.
func Shell(t testing.TB, script string, change ...func(*exec.Cmd)) *Child {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script+"\necho "+ready+"; read wait", "sh")
	for _, f := range change {
		f(cmd)
	}
	c := Start(t, cmd)
	c.Ready(t)
	return c
}

// Line reads the next line that the process says, without its end.
func (c *Child) Line(t testing.TB) string {
	t.Helper()
	if err := c.out.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	line, err := c.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%s says %q, then %v", c.Path, line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

// Ready waits until the process says that it is ready.
func (c *Child) Ready(t testing.TB) {
	t.Helper()
	if line := c.Line(t); line != ready {
		t.Fatalf("%s says %q, and not that it is ready", c.Path, line)
	}
}

// End closes the process's standard input, by which it is told to end.
func (c *Child) End() { _ = c.in.Close() }

// Status waits for the process's end, reaps it and returns how it ended. It can be
// called more than once, and is safe for concurrent use.
func (c *Child) Status() syscall.WaitStatus { return c.status() }
