package scopes

import (
	"context"
	"net"
	"os"
	"strconv"
	"sync"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// privateSocket is systemd's own, which asks for no Hello.
//
// Source: systemd, src/core/dbus.c, bus_init_private.
const privateSocket = "/run/systemd/private"

// dial connects to systemd, for calls that pass no descriptors. It hears of jobs alone.
func dial(ctx context.Context, path string) (*systemd.Conn, error) {
	return connect(ctx, func(options ...dbus.ConnOption) (*dbus.Conn, error) {
		socket, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return nil, err
		}
		return dbus.NewConn(newQuiet(socket), options...)
	})
}

// dialForDescriptors is dial for calls that pass some. It hears all signals.
func dialForDescriptors(ctx context.Context, path string) (*systemd.Conn, error) {
	return connect(ctx, func(options ...dbus.ConnOption) (*dbus.Conn, error) {
		return dbus.Dial("unix:path="+path, options...)
	})
}

// connect is what systemd.NewSystemdConnectionContext does, but for the signals' handler.
func connect(ctx context.Context, open func(...dbus.ConnOption) (*dbus.Conn, error)) (*systemd.Conn, error) {
	return systemd.NewConnection(func() (*dbus.Conn, error) {
		conn, err := open(dbus.WithContext(ctx), dbus.WithSignalHandler(newSignals()))
		if err != nil {
			return nil, err
		}
		if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	})
}

// signals hands on a connection's signals. godbus's own handler passes over a channel
// that is registered when the connection has ended, and so never closes it:
// go-systemd's reader of the channel then waits for good. systemd's re-execution ends
// connections that are just being made.
//
// Source: godbus v5.2.4, default_handler.go, AddSignal; go-systemd v22.7.0,
// dbus/subscription.go, dispatch.
type signals struct {
	dbus.SignalHandler // godbus's own

	mu    sync.Mutex // lock order: 6
	ended bool
}

func newSignals() *signals {
	// It is what every connection has that is made without options; nothing else returns it.
	return &signals{SignalHandler: dbus.NewDefaultSignalHandler()} //nolint:staticcheck // see above
}

// Terminate is called once, at the end of the connection.
func (s *signals) Terminate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.SignalHandler.(dbus.Terminator).Terminate()
}

func (s *signals) AddSignal(ch chan<- *dbus.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		close(ch)
		return
	}
	s.SignalHandler.(dbus.SignalRegistrar).AddSignal(ch)
}

func (s *signals) RemoveSignal(ch chan<- *dbus.Signal) {
	s.SignalHandler.(dbus.SignalRegistrar).RemoveSignal(ch)
}
