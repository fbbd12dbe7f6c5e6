package scopes

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	systemd "github.com/coreos/go-systemd/v22/dbus"
)

// About is what systemd says of itself.
type About struct {
	Version   string // for people: nothing is concluded from it
	OOMPolicy error  // why a scope can't have one; nil if it can
}

// About asks systemd. Scopes are made with what is there either way: Start tries.
//
// Source: org.freedesktop.systemd1(5): Version; a scope has the property OOMPolicy
// where it can be set, since 253 and in many 252 too.
func (m *Manager) About(ctx context.Context) (About, error) {
	conn, err := m.placing.get(ctx)
	if err != nil {
		return About{}, err
	}
	version, err := managerVersion(conn)
	if err != nil {
		return About{}, err
	}
	// Every systemd has this scope: it is PID 1's own.
	_, err = conn.GetUnitTypePropertyContext(ctx, "init.scope", "Scope", "OOMPolicy")
	if err != nil {
		err = fmt.Errorf("systemd: %w", err)
	}
	return About{Version: version, OOMPolicy: err}, nil
}

func managerVersion(conn *systemd.Conn) (string, error) {
	quoted, err := conn.GetManagerProperty("Version")
	if err != nil {
		return "", fmt.Errorf("systemd's version: %w", err)
	}
	version, err := strconv.Unquote(quoted)
	if err != nil {
		return "", errors.New("systemd's version is no string")
	}
	return version, nil
}
