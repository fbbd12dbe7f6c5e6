package watch

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/lifecycle"
)

// keepTime starts what waits for the build's deadlines: the one that its user gave
// it, and the one that the configuration gives to all. Both are points of
// CLOCK_MONOTONIC, so a daemon that takes the build over means the same by them.
func (b *build) keepTime() {
	if at := b.deadline(); at > 0 {
		b.watcher.running.Go(func() { b.waitUntil(at, lifecycle.DeadlinePassed) })
	}
	if at := b.lastMoment(); at > 0 {
		b.watcher.running.Go(func() { b.waitUntil(at, lifecycle.MaxRuntimePassed) })
	}
}

// deadline is when the time is over that the build's user gave it; 0 for none.
func (b *build) deadline() time.Duration {
	return time.Duration(b.record.DeadlineUSec) * time.Microsecond
}

// lastMoment is when the time is over that every build has; 0 for none. It is the
// policy of the daemon that watches now, also for builds that an earlier one began.
func (b *build) lastMoment() time.Duration {
	if b.watcher.policy.MaxRuntime == 0 {
		return 0
	}
	return time.Duration(b.record.StartedUSec)*time.Microsecond + b.watcher.policy.MaxRuntime
}

func (b *build) waitUntil(at time.Duration, passed lifecycle.Event) {
	over := time.NewTimer(at - monotonic())
	defer over.Stop()
	select {
	case <-over.C:
		b.send(message{event: passed})
	case <-b.life.Done():
	}
}

// monotonic is the time since boot, in which systemd counts RuntimeMaxSec too: a
// record that a restart of the daemon reads means the same.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err) // the clock is always there
	}
	return time.Duration(now.Nano())
}
