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

// sockets are the two that the daemon listens on.
type sockets struct {
	runtime *net.UnixListener // the wrapper's, SOCK_SEQPACKET
	control *net.UnixListener // SOCK_STREAM
	// passed: systemd holds them as well, and keeps who connects waiting for a daemon.
	passed bool
}

func (s sockets) close() {
	_ = s.runtime.Close()
	_ = s.control.Close()
}

// dup returns descriptors of their own for the same sockets, which go on taking
// connections when these are closed.
func (s sockets) dup() (sockets, error) {
	runtime, err := dup(s.runtime)
	if err != nil {
		return sockets{}, err
	}
	control, err := dup(s.control)
	if err != nil {
		_ = runtime.Close()
		return sockets{}, err
	}
	return sockets{runtime, control, s.passed}, nil
}

func dup(l *net.UnixListener) (*net.UnixListener, error) {
	file, err := l.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	again, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	own := again.(*net.UnixListener)
	own.SetUnlinkOnClose(false)
	return own, nil
}

// openSockets takes the sockets from systemd (buildwatchd.socket), or makes them
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
		socket, ok := listener.(*net.UnixListener)
		if !ok {
			return sockets{}, errors.New("systemd passed a socket that is no unix socket: see buildwatchd.socket")
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
