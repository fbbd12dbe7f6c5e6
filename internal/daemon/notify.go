package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/watch"
)

// notify tells systemd that the daemon is ready, that it still lives, and that
// it stops. The sign of life goes through the watcher: one that can't answer is
// one that can't end a build, and systemd starts another.
func notify(ctx context.Context, watcher *watch.Watcher, settings *settings, log logrus.FieldLogger) {
	say := func(state string) {
		if _, err := systemd.SdNotify(false, state); err != nil {
			log.WithError(err).Warn("Cannot notify systemd")
		}
	}
	said := status(watcher.Count(), settings.problem())
	say(systemd.SdNotifyReady + "\n" + said)
	defer func() {
		if !errors.Is(context.Cause(ctx), errReload) {
			say(systemd.SdNotifyStopping)
		}
	}()

	news := make(chan struct{}, 1)
	var following sync.WaitGroup
	defer following.Wait()
	following.Go(func() { followBuilds(ctx, watcher, news) })
	tick := time.NewTicker(watchdogInterval())
	defer tick.Stop()
	for {
		alive := ""
		select {
		case <-tick.C:
			alive = systemd.SdNotifyWatchdog + "\n"
		case <-news:
		case <-settings.changed:
			alive = systemd.SdNotifyReady + "\n" // the end of what sayReloading began
		case <-ctx.Done():
			return
		}
		if now := status(watcher.Count(), settings.problem()); alive != "" || now != said {
			say(alive + now)
			said = now
		}
	}
}

// sayReloading tells systemd that the configuration is being read. READY=1 ends it.
//
// Source: sd_notify(3), RELOADING=1, with the time of the clock that systemd compares with
// that of its signal: since 253 Type=notify-reload wants it, before it is no more than shown.
func sayReloading() {
	_, _ = systemd.SdNotify(false, systemd.SdNotifyReloading+"\n"+systemd.SdNotifyMonotonicUsec())
}

// statusPause is the least time between two status lines.
const statusPause = 100 * time.Millisecond

// followBuilds puts a token into news when something has become of a build.
func followBuilds(ctx context.Context, watcher *watch.Watcher, news chan<- struct{}) {
	_ = watcher.Watch(ctx, func(api.User) bool { return true }, func(e api.Event) error {
		if e.Kind == api.EventAlive {
			return nil
		}
		select {
		case news <- struct{}{}:
		default:
		}
		select {
		case <-time.After(statusPause):
		case <-ctx.Done():
		}
		return nil
	})
}

// watchdogInterval is how often to tell systemd that the daemon lives: at half of
// what it asks for, as sd_watchdog_enabled(3) recommends; where it does not ask,
// now and then, for the status line.
func watchdogInterval() time.Duration {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return time.Minute
	}
	return interval / 2
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
