package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/buildwatch/buildwatch/test/machine"
)

type options struct {
	suite       string
	withoutOnly bool
}

// demo shows both halves, and is an error if they don't come out as promised.
func demo(ctx context.Context, opts options) (err error) {
	fmt.Print(`What does a cancelled "podman build --platform linux/arm64" leave behind?
The build's RUN step is one shell and four sleeps, each under qemu-aarch64.
All of it happens in a throwaway Debian; nothing on this host is changed.

`)
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	m, err := machine.Boot(ctx, machine.Options{Suite: opts.suite, Source: machine.FindSource(dir), Say: step})
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		err = errors.Join(err, m.Close())
	}()

	fmt.Print("\n1. Without buildwatch\n")
	without, err := leak(ctx, m)
	if err != nil {
		return err
	}
	without.print()
	if err := endLeftovers(ctx, without.left); err != nil {
		return err
	}
	if opts.withoutOnly {
		return expect("without buildwatch", without, emulatedProcesses)
	}

	fmt.Print("\n2. With buildwatch\n")
	if err := m.Install(ctx); err != nil {
		return err
	}
	with, err := cancelBuild(ctx, m)
	if err == nil {
		err = with.count(ctx, m)
	}
	if err != nil {
		return err
	}
	with.print()
	summary(without, with)
	return errors.Join(expect("without buildwatch", without, emulatedProcesses), expect("with buildwatch", with, 0))
}

// attempts is how often a build is cancelled to see it leave something: with
// podman 5.4 two times out of three do.
const attempts = 10

// leak cancels builds until one leaves processes. When podman gets a signal, it
// passes it on to the helper that can kill the RUN step, and exits, which kills
// the helper: now and then the helper is faster.
func leak(ctx context.Context, m *machine.Machine) (result, error) {
	for attempt := 1; ; attempt++ {
		r, err := cancelBuild(ctx, m)
		if err != nil {
			return r, err
		}
		if !r.allGone || attempt == attempts {
			return r, r.count(ctx, m)
		}
		step("this time podman's helper ended all before podman's exit ended the helper; once more")
	}
}

func expect(half string, r result, want int) error {
	if len(r.left) != want {
		return fmt.Errorf("%s, %d processes were left, not %d", half, len(r.left), want)
	}
	return nil
}

// endLeftovers ends what the first half left, so that the second starts clean.
func endLeftovers(ctx context.Context, left []*process) error {
	for _, p := range left {
		if err := p.Signal(killSignal); err != nil {
			return fmt.Errorf("end process %d: %w", p.PID, err)
		}
	}
	for _, p := range left {
		if err := p.Wait(ctx); err != nil {
			return err
		}
		p.Close()
	}
	return nil
}
