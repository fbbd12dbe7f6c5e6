package scopes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// fakeSystemd answers what package scopes asks of systemd, as systemd does,
// over real D-Bus connections. It makes and removes cgroups below slices.
type fakeSystemd struct {
	t      *testing.T
	slices string // the cgroups' parent in the file system

	// dialling is held for reading while a connection is made: go-systemd leaves a
	// goroutine behind for good where one is lost before it listens to its signals.
	dialling sync.RWMutex

	mu    sync.Mutex
	conns []*dbus.Conn // its own ends
	jobs  uint32
	units map[string]string // names to cgroups
	calls []string
	mode  string // of the last StartTransientUnit
	props map[string]any

	// What it does otherwise than it should.
	old         bool                    // knows no OOMPolicy on scopes
	elsewhere   bool                    // says that it has made the scope, and has not
	late        bool                    // has found the cgroup populated at the end of a unit, and keeps that until the next order
	silent      map[string]bool         // methods that get no answer
	jobResult   string                  // instead of "done"
	refuse      map[string]*dbus.Error  // by method
	onCall      func(method string)     // before the answer; may be nil
	stopped     chan struct{}           // closed at the test's end
	makeUnitDir func(path string) error // os.Mkdir, but in tests of races
}

func newFakeSystemd(t *testing.T, slices string) *fakeSystemd {
	t.Helper()
	f := &fakeSystemd{
		t: t, slices: slices, units: map[string]string{}, silent: map[string]bool{}, refuse: map[string]*dbus.Error{},
		jobResult: "done", stopped: make(chan struct{}),
		makeUnitDir: func(path string) error { return os.MkdirAll(path, 0o755) },
	}
	t.Cleanup(func() {
		close(f.stopped)
		f.hangUp()
	})
	return f
}

// dial is bus.dial.
func (f *fakeSystemd) dial(context.Context) (*systemd.Conn, error) {
	f.dialling.RLock()
	defer f.dialling.RUnlock()
	return systemd.NewConnection(func() (*dbus.Conn, error) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		var ends [2]*dbus.Conn
		for i, fd := range fds {
			file := os.NewFile(uintptr(fd), "bus")
			conn, err := net.FileConn(file)
			_ = file.Close()
			if err != nil {
				return nil, err
			}
			if ends[i], err = dbus.NewConn(&introduced{ReadWriteCloser: conn}); err != nil {
				return nil, err
			}
		}
		if err := f.serve(ends[0]); err != nil {
			return nil, err
		}
		return ends[1], ends[1].Auth([]dbus.Auth{dbus.AuthAnonymous()})
	})
}

// introduced is a connection whose ends believe that they have authenticated
// each other.
type introduced struct {
	io.ReadWriteCloser
	heard, said bool
}

func (c *introduced) Read(p []byte) (int, error) {
	if !c.heard {
		c.heard = true
		return copy(p, "REJECTED ANONYMOUS\r\nOK 1234\r\n"), nil
	}
	return c.ReadWriteCloser.Read(p)
}

func (c *introduced) Write(p []byte) (int, error) {
	if !c.said {
		c.said = string(p) == "BEGIN\r\n"
		return len(p), nil
	}
	return c.ReadWriteCloser.Write(p)
}

func (f *fakeSystemd) serve(conn *dbus.Conn) error {
	err := errors.Join(
		conn.ExportMethodTable(map[string]any{
			"AddMatch": func(string) *dbus.Error { return nil },
		}, "/org/freedesktop/DBus", "org.freedesktop.DBus"),
		conn.ExportMethodTable(map[string]any{
			"StartTransientUnit": f.startTransientUnit, "KillUnit": f.killUnit, "StopUnit": f.stopUnit,
		}, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"),
		conn.ExportSubtreeMethodTable(map[string]any{"GetAll": f.getAll}, "/org/freedesktop/systemd1/unit", "org.freedesktop.DBus.Properties"),
	)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.conns = append(f.conns, conn)
	f.mu.Unlock()
	return conn.Auth([]dbus.Auth{dbus.AuthAnonymous()})
}

// hangUp ends every connection, as daemon-reexec does.
func (f *fakeSystemd) hangUp() {
	f.dialling.Lock()
	defer f.dialling.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		_ = conn.Close()
	}
	f.conns = nil
}

// called notes the call, and returns what is wrong with it.
func (f *fakeSystemd) called(method, unit string) *dbus.Error {
	f.mu.Lock()
	f.calls = append(f.calls, method+" "+unit)
	silent, refuse, onCall := f.silent[method], f.refuse[method], f.onCall
	f.mu.Unlock()
	if onCall != nil {
		onCall(method)
	}
	if silent {
		<-f.stopped
	}
	return refuse
}

// set changes what it does from now on.
func (f *fakeSystemd) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeSystemd) heard() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

func dbusError(name string) *dbus.Error {
	return dbus.NewError("org.freedesktop.systemd1."+name, []any{name})
}

// job ends a job, once its caller has been told its name.
func (f *fakeSystemd) job(unit string) dbus.ObjectPath {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs++
	id, result := f.jobs, f.jobResult
	path := dbus.ObjectPath(fmt.Sprintf("/org/freedesktop/systemd1/job/%d", id))
	for _, conn := range f.conns {
		_ = conn.Emit("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.JobRemoved", id, path, unit, result)
	}
	return path
}

type property struct {
	Name  string
	Value dbus.Variant
}

type auxiliary struct {
	Name       string
	Properties []property
}

func (f *fakeSystemd) startTransientUnit(unit, mode string, list []property, _ []auxiliary) (dbus.ObjectPath, *dbus.Error) {
	if err := f.called("StartTransientUnit", unit); err != nil {
		return "", err
	}
	props := map[string]any{}
	for _, p := range list {
		props[p.Name] = p.Value.Value()
	}
	f.mu.Lock()
	f.mode, f.props = mode, props
	_, exists := f.units[unit]
	dir := filepath.Join(f.slices, props["Slice"].(string), unit)
	if !exists && !(f.old && props["OOMPolicy"] != nil) && !f.elsewhere {
		f.units[unit] = dir
	}
	old, elsewhere := f.old, f.elsewhere
	f.mu.Unlock()
	switch {
	case exists:
		return "", dbusError("UnitExists")
	case old && props["OOMPolicy"] != nil:
		return "", dbus.NewError("org.freedesktop.DBus.Error.PropertyReadOnly", []any{"Cannot set property OOMPolicy"})
	case elsewhere:
		return f.job(unit), nil
	}
	if err := f.makeUnitDir(dir); err != nil {
		return "", dbus.MakeFailedError(err)
	}
	for _, pid := range props["PIDs"].([]uint32) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, pid), 0); err != nil {
			return "", dbus.MakeFailedError(err)
		}
	}
	return f.job(unit), nil
}

// getAll has the properties of the unit that was started last.
func (f *fakeSystemd) getAll(string) (map[string]dbus.Variant, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[string]dbus.Variant{}
	for name, value := range f.props {
		all[name] = dbus.MakeVariant(value)
	}
	return all, nil
}

func (f *fakeSystemd) unit(unit string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.units[unit]
}

func (f *fakeSystemd) killUnit(unit, who string, signal int32) *dbus.Error {
	if err := f.called("KillUnit", unit); err != nil {
		return err
	}
	dir := f.unit(unit)
	if dir == "" {
		return dbusError("NoSuchUnit")
	}
	if who != "all" || signal != int32(unix.SIGKILL) {
		return dbusError("NotExpected")
	}
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	return nil
}

func (f *fakeSystemd) stopUnit(unit, _ string) (dbus.ObjectPath, *dbus.Error) {
	if err := f.called("StopUnit", unit); err != nil {
		return "", err
	}
	dir := f.unit(unit)
	if dir == "" {
		return "", dbusError("NoSuchUnit")
	}
	f.mu.Lock()
	late := f.late
	f.late = false
	f.mu.Unlock()
	if late {
		return f.job(unit), nil
	}
	removeTree(f.t, dir)
	f.mu.Lock()
	delete(f.units, unit)
	f.mu.Unlock()
	return f.job(unit), nil
}

// counter is a Metrics.
type counter struct {
	mu        sync.Mutex
	connected int
	requests  []string // method, and "failed" or not
}

func (c *counter) DBusConnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.connected++
}

func (c *counter) DBusRequest(method string, _ time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		method += " failed"
	}
	c.requests = append(c.requests, method)
}

func (c *counter) counted() (connected int, requests string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connected, strings.Join(c.requests, ", ")
}
