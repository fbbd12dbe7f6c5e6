package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/test/machine"
)

const (
	// emulatedProcesses is how many processes the RUN step has.
	emulatedProcesses = 5
	// patience is when the leftovers are counted, from the first signal on.
	patience = 15 * time.Second
	// escalation is the time from one signal to the next.
	escalation = 2 * time.Second
	killSignal = unix.SIGKILL
)

// script runs the build. Only the RUN step writes a line "started".
const script = `set -e
rm -rf /var/tmp/demo
mkdir /var/tmp/demo
cd /var/tmp/demo
cp /usr/share/buildwatch-test/arm64/busybox .
cat >Containerfile <<END
FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
RUN for i in 1 2 3 4; do /bin/busybox sleep 1000 & done; echo started; wait
END
exec podman build --platform linux/arm64 --no-cache .
`

// A result is what became of one cancelled build.
type result struct {
	cancelled time.Time // the first signal
	left      []*process
	// gone is the time from the first signal to the end of the last emulated
	// process, if it came to that.
	gone    time.Duration
	allGone bool
}

// cancelBuild runs the build, cancels it as a CI runner does, and waits until
// all emulated processes are gone or its patience is at an end.
func cancelBuild(ctx context.Context, m *machine.Machine) (result, error) {
	step("starting podman build --platform linux/arm64 …")
	podman, ended, err := startBuild(ctx, m)
	if err != nil {
		return result{}, err
	}
	held, err := emulated(m)
	if err != nil {
		return result{}, err
	}
	if len(held) != emulatedProcesses {
		return result{}, fmt.Errorf("the RUN step has %d emulated processes, not %d", len(held), emulatedProcesses)
	}
	defer closeAll(held)
	step("its RUN step runs: %d processes under qemu", len(held))

	r := result{cancelled: time.Now()}
	gone := watch(ctx, held)
	if err := escalate(ctx, podman, ended); err != nil {
		return result{}, err
	}
	select {
	case last := <-gone:
		r.gone, r.allGone = last.Sub(r.cancelled), true
	case <-time.After(time.Until(r.cancelled.Add(patience))):
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
	return r, nil
}

// count waits until it is time to count what is left, and does so.
func (r *result) count(ctx context.Context, m *machine.Machine) (err error) {
	step("counting what is left %s after the first signal …", patience)
	select {
	case <-time.After(time.Until(r.cancelled.Add(patience))):
	case <-ctx.Done():
		return ctx.Err()
	}
	r.left, err = emulated(m)
	return err
}

// startBuild starts the build and returns when its RUN step runs. ended is
// closed when podman ends.
func startBuild(ctx context.Context, m *machine.Machine) (podman *exec.Cmd, ended chan struct{}, err error) {
	// A pipe of our own: Wait would wait for everyone that inherited another.
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	podman, err = m.Start(ctx, machine.Cmd{
		Args: []string{"sh", "-c", script}, Stdout: write, Stderr: write,
		Group: true, // a ^C at the demo is not one at podman
	})
	write.Close()
	if err != nil {
		read.Close()
		return nil, nil, err
	}
	ended = make(chan struct{})
	go func() {
		_ = podman.Wait() // however: it is the leftovers that matter
		close(ended)
	}()
	started := make(chan error, 1)
	go func() {
		defer read.Close()
		var said []string
		lines := bufio.NewScanner(read)
		for lines.Scan() {
			if lines.Text() == "started" {
				started <- nil
			}
			said = append(said, lines.Text())
		}
		select {
		case started <- fmt.Errorf("the build failed: %s", strings.Join(said, "\n")):
		default: // it had started
		}
	}()
	select {
	case err = <-started:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return podman, ended, err
}

// escalate sends podman one signal after the other for as long as it lives.
func escalate(ctx context.Context, podman *exec.Cmd, ended <-chan struct{}) error {
	for _, signal := range []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGKILL} {
		step("cancelling: %s to podman", unix.SignalName(signal))
		sent := time.Now()
		if err := podman.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("signal podman: %w", err)
		}
		select {
		case <-ended:
			step("podman ended %s later", time.Since(sent).Round(time.Millisecond))
			return nil
		case <-time.After(escalation):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(escalation):
		return errors.New("podman survived SIGKILL")
	}
}
