package scopes

import (
	"context"

	systemd "github.com/coreos/go-systemd/v22/dbus"
)

// StartUnit has systemd start a unit that is not a build's. It waits for the job to be
// queued, not for its end.
func (m *Manager) StartUnit(ctx context.Context, unit string) error {
	return m.placing.call(ctx, StartUnit, func(conn *systemd.Conn) error {
		_, err := conn.StartUnitContext(ctx, unit, "replace", nil)
		return err
	})
}
