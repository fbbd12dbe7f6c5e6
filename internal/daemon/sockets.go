package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// sockets are those that the daemon listens on.
type sockets struct {
	runtime *net.UnixListener  // the wrapper's, SOCK_SEQPACKET
	control *net.UnixListener  // SOCK_STREAM
	metrics []*net.TCPListener // of buildwatchd-metrics.socket
	// passed: systemd holds them as well, and keeps who connects waiting for a daemon.
	passed bool
}

func (s sockets) close() {
	_ = s.runtime.Close()
	_ = s.control.Close()
	for _, l := range s.metrics {
		_ = l.Close()
	}
}

// dup returns descriptors of their own for the same sockets, which go on taking
// connections when these are closed.
func (s sockets) dup() (sockets, error) {
	again := sockets{passed: s.passed}
	var err error
	if again.runtime, err = dup(s.runtime); err != nil {
		return sockets{}, err
	}
	if again.control, err = dup(s.control); err != nil {
		_ = again.runtime.Close()
		return sockets{}, err
	}
	again.runtime.SetUnlinkOnClose(false)
	again.control.SetUnlinkOnClose(false)
	for _, l := range s.metrics {
		own, err := dup(l)
		if err != nil {
			again.close()
			return sockets{}, err
		}
		again.metrics = append(again.metrics, own)
	}
	return again, nil
}

// filer is a listener whose socket can be had.
type filer interface {
	net.Listener
	File() (*os.File, error)
}

func dup[T filer](l T) (own T, err error) {
	file, err := l.File()
	if err != nil {
		return own, err
	}
	defer file.Close()
	again, err := net.FileListener(file)
	if err != nil {
		return own, err
	}
	return again.(T), nil
}

// openSockets takes the sockets from systemd (buildwatchd.socket, and where there is one
// buildwatchd-metrics.socket), or makes them
// where the daemon was started by hand.
func openSockets() (sockets, error) {
	listeners, err := activation.Listeners()
	if err != nil {
		return sockets{}, fmt.Errorf("sockets from systemd: %w", err)
	}
	if len(listeners) == 0 {
		return makeSockets(wire.Socket, api.ControlSocket)
	}
	return passedSockets(listeners)
}

// passedSockets tells systemd's sockets by their kinds.
func passedSockets(listeners []net.Listener) (sockets, error) {
	s := sockets{passed: true}
	for _, listener := range listeners {
		if public, ok := listener.(*net.TCPListener); ok {
			s.metrics = append(s.metrics, public)
			continue
		}
		socket, ok := listener.(*net.UnixListener)
		if !ok {
			return sockets{}, errors.New("systemd passed a socket of a kind that is not known: see buildwatchd.socket and buildwatchd-metrics.socket")
		}
		socket.SetUnlinkOnClose(false) // systemd's to remove
		switch socket.Addr().Network() {
		case "unixpacket":
			s.runtime = socket
		case "unix":
			s.control = socket
		}
	}
	if s.runtime == nil || s.control == nil {
		return sockets{}, errors.New("systemd did not pass both sockets: see buildwatchd.socket")
	}
	return s, nil
}

func makeSockets(runtimePath, controlPath string) (sockets, error) {
	if err := os.MkdirAll(filepath.Dir(runtimePath), 0o755); err != nil {
		return sockets{}, err
	}
	runtime, err := listen("unixpacket", runtimePath)
	if err != nil {
		return sockets{}, err
	}
	control, err := listen("unix", controlPath)
	if err != nil {
		runtime.Close()
		return sockets{}, err
	}
	return sockets{runtime: runtime, control: control}, nil
}

// listen makes a socket that every user may connect to: who it is decides the
// kernel's word on the peer, not the file's mode.
func listen(network, path string) (*net.UnixListener, error) {
	if conn, err := net.Dial(network, path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("another buildwatchd listens on %s", path)
	}
	_ = os.Remove(path)
	listener, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o666); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}
