package podmanmachine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// call runs podman and returns its exit code, as a shell has it. Signals that
// would end this process go to podman instead, whose exit code then tells.
func (p Podman) call(ctx context.Context, stdio Stdio, args []string) (code int, err error) {
	if p.path == "" {
		return 0, errNoPodman
	}
	cmd := exec.CommandContext(ctx, p.path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdio.In, stdio.Out, stdio.Err
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("run podman: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig) // it may have ended, and Windows has its own way
		case err := <-ended:
			return exitCode(ctx, err)
		}
	}
}

func exitCode(ctx context.Context, err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case ctx.Err() != nil:
		return 0, fmt.Errorf("podman was waited for: %w", ctx.Err())
	case !errors.As(err, &exit):
		return 0, fmt.Errorf("run podman: %w", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return exit.ExitCode(), nil
}
