package daemon

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/config"
)

// reloadTime is how long the daemon may take to read its files: less than systemd gives
// the reload (TimeoutStartSec=).
const reloadTime = 8 * time.Second

// configAsker asks the daemon for the configuration in force.
type configAsker interface {
	Config(ctx context.Context) (api.Config, error)
}

// requestReload has the daemon that is the unit's main process read its files, waits
// until it has, and returns what is wrong with them. systemd 253 and later have told it
// already (Type=notify-reload): to be told twice costs it nothing.
func requestReload(ctx context.Context, mainPID, root string, daemon configAsker) error {
	pid, err := strconv.Atoi(mainPID)
	if err != nil || pid <= 1 {
		return errors.New(`--reload is for the unit: "systemctl reload buildwatchd.service"`)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, reloadTime, errors.New("the daemon was waited for too long"))
	defer cancel()
	before, err := daemon.Config(ctx)
	if err != nil {
		return fmt.Errorf("reload the configuration: %w", err)
	}
	if err := unix.Kill(pid, unix.SIGHUP); err != nil {
		return fmt.Errorf("reload the configuration: tell process %d: %w", pid, err)
	}
	if err := awaitRead(ctx, daemon, before.Reads); err != nil {
		return fmt.Errorf("reload the configuration: %w", err)
	}
	_, err = config.Load(root) // each mistake, not the first alone
	return err
}

// awaitRead waits until the daemon has read its files again. It can't be asked for a moment
// while its parts are started with another configuration.
func awaitRead(ctx context.Context, daemon configAsker, before int) error {
	const pause = 20 * time.Millisecond
	for {
		now, err := daemon.Config(ctx)
		if err == nil && now.Reads != before {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
