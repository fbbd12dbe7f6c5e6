package scopes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// keeper is the process that keeps a scope in being while its build's owner
// lives (command buildwatch-keeper).
type keeper struct {
	pid    int
	done   chan struct{} // closed when it has ended and was reaped
	kill   func()
	placed func() // tells it that it is in its scope
}

// startKeeper starts the program with the owner's pidfd. It gets neither
// environment nor descriptors of the daemon's.
//
// Its end is waited for by pidfd, in the Go runtime's epoll set: there is one for
// each build, and wait4(2) would hold a thread for each.
//
// It waits for placed, or for the daemon's end, to begin its work: see the command.
func startKeeper(program string, owner *os.File) (*keeper, error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	defer theirs.Close()
	cmd := &exec.Cmd{
		Path:        program,
		Args:        []string{"buildwatch-keeper", "unplaced"},
		Env:         []string{}, // nil would mean the daemon's
		Dir:         "/",
		ExtraFiles:  []*os.File{owner, theirs}, // descriptors 3 and 4
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	process, err := proc.Open(cmd.Process.Pid) // not reaped yet: nobody else has the PID
	if err != nil {
		ours.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, fmt.Errorf("hold keeper: %w", err)
	}
	k := &keeper{pid: cmd.Process.Pid, done: make(chan struct{})}
	k.kill = func() { _ = cmd.Process.Kill() }
	k.placed = func() { _ = ours.Close() }
	go func() {
		_ = process.Wait(context.Background())
		process.Close()
		_ = cmd.Wait() // it has ended: this only reaps it
		_ = ours.Close()
		close(k.done)
	}()
	return k, nil
}
