package daemon

import (
	"context"
	"fmt"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/api"
	"github.com/buildwatch/buildwatch/internal/watch"
)

// notify tells systemd that the daemon is ready, that it still lives, and that
// it stops. The sign of life goes through the watcher: one that can't answer is
// one that can't end a build, and systemd starts another.
func notify(ctx context.Context, watcher *watch.Watcher, log logrus.FieldLogger) {
	say := func(state string) {
		if _, err := systemd.SdNotify(false, state); err != nil {
			log.WithError(err).Warn("Cannot notify systemd")
		}
	}
	say(systemd.SdNotifyReady + "\n" + status(watcher.Count()))
	defer say(systemd.SdNotifyStopping)

	tick := time.NewTicker(watchdogInterval())
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			say(systemd.SdNotifyWatchdog + "\n" + status(watcher.Count()))
		case <-ctx.Done():
			return
		}
	}
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
func status(count map[api.State]int) string {
	total := 0
	for _, n := range count {
		total += n
	}
	line := fmt.Sprintf("STATUS=%d builds", total)
	if stuck := count[api.StateStuck]; stuck > 0 {
		line += fmt.Sprintf(", %d stuck", stuck)
	}
	return line
}
