package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/watch"
)

// notify tells systemd that the daemon is ready, that it still lives, and that
// it stops. The sign of life goes through the watcher: one that can't answer is
// one that can't end a build, and systemd starts another.
func notify(ctx context.Context, watcher *watch.Watcher, settings *settings, log logrus.FieldLogger) {
	say := func(state string) {
		if err := tellSystemd(state); err != nil {
			log.WithError(err).Warn("Cannot notify systemd")
		}
	}
	pulse := newPulse(watchdogInterval())
	said := status(watcher.Count(), settings.problem())
	say(systemd.SdNotifyReady + "\n" + pulse.watchdog() + said) // after a reload it may have been told of a rest
	defer func() {
		if !errors.Is(context.Cause(ctx), errReload) {
			say(systemd.SdNotifyStopping)
		}
	}()

	news := make(chan struct{}, 1)
	token := func() {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { followBuilds(ctx, watcher, token) })
	var memory memory
	defer memory.wake()
	timer := time.NewTimer(pulse.next())
	defer timer.Stop()
	for {
		alive, ready := false, ""
		select {
		case <-timer.C:
			alive = true
		case <-news:
		case <-settings.changed:
			ready = systemd.SdNotifyReady + "\n" // the end of what sayReloading began
		case <-ctx.Done():
			return
		}
		count := watcher.Count()
		now := status(count, settings.problem())
		changed := pulse.see(count, alive, memory.collected())
		switch {
		case changed:
			say(ready + pulse.watchdog() + now)
		case alive:
			say(systemd.SdNotifyWatchdog + "\n" + now)
		case ready != "" || now != said:
			say(ready + now)
		}
		said = now
		if changed || alive {
			timer.Reset(pulse.next())
		}
		switch {
		case changed && pulse.resting:
			memory.rest(token)
		case changed:
			memory.wake()
		}
	}
}

// sayReloading tells systemd that the configuration is being read. READY=1 ends it.
//
// Source: sd_notify(3), RELOADING=1, with the time of the clock that systemd compares with
// that of its signal: since 253 Type=notify-reload wants it, before it is no more than shown.
func sayReloading() {
	_ = tellSystemd(systemd.SdNotifyReloading + "\n" + systemd.SdNotifyMonotonicUsec())
}

// statusPause is the least time between two status lines.
const statusPause = 100 * time.Millisecond

// followBuilds calls news when something has become of a build.
func followBuilds(ctx context.Context, watcher *watch.Watcher, news func()) {
	watcher.Follow(ctx, func() {
		news()
		select {
		case <-time.After(statusPause):
		case <-ctx.Done():
		}
	})
}

// watchdogInterval is how often to tell systemd that the daemon lives: at half of
// what it asks for, as sd_watchdog_enabled(3) recommends; 0 where it does not ask.
func watchdogInterval() time.Duration {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return interval / 2
}

// tellSystemd is sd_notify(3). go-systemd's goes through Go's poller, which wakes a second
// thread each time.
func tellSystemd(state string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("a socket for systemd: %w", err)
	}
	defer unix.Close(socket)
	if err := unix.Sendto(socket, []byte(state), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: address}); err != nil {
		return fmt.Errorf("tell systemd on %s: %w", address, err)
	}
	return nil
}

// status is the line that `systemctl status` shows.
func status(count map[api.State]int, problem string) string {
	total := 0
	for _, n := range count {
		total += n
	}
	line := fmt.Sprintf("STATUS=%d builds", total)
	if total == 1 {
		line = "STATUS=1 build"
	}
	if stuck := count[api.StateStuck]; stuck > 0 {
		line += fmt.Sprintf(", %d stuck", stuck)
	}
	if problem != "" {
		line += "; " + problem
	}
	return line
}
