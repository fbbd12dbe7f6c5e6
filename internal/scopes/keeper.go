package scopes

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// keeper is the process that keeps a scope in being while its build's owner
// lives (command buildwatch-keeper).
type keeper struct {
	pid  int
	done chan struct{} // closed when it has ended and was reaped
	kill func()
}

// startKeeper starts the program with the owner's pidfd. It gets neither
// environment nor descriptors of the daemon's.
func startKeeper(program string, owner *os.File) (*keeper, error) {
	cmd := &exec.Cmd{
		Path:        program,
		Args:        []string{"buildwatch-keeper"},
		Env:         []string{}, // nil would mean the daemon's
		Dir:         "/",
		ExtraFiles:  []*os.File{owner}, // descriptor 3
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start keeper: %w", err)
	}
	k := &keeper{pid: cmd.Process.Pid, done: make(chan struct{})}
	k.kill = func() { _ = cmd.Process.Kill() }
	go func() {
		_ = cmd.Wait()
		close(k.done)
	}()
	return k, nil
}
