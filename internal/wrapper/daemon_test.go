package wrapper

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/wire"
)

const config = `{"linux":{}}`

// fakeDaemon answers one connection after the other, each with its script, and returns its socket.
func fakeDaemon(t *testing.T, scripts ...func(conn *net.UnixConn)) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unixpacket", socket)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, script := range scripts {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			script(conn.(*net.UnixConn))
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	return socket
}

// hear reads one message, and dies with the test when it is another.
func hear(t *testing.T, conn *net.UnixConn, want wire.Type) {
	t.Helper()
	packet := make([]byte, wire.MaxMessage)
	n, err := conn.Read(packet)
	if err != nil {
		return // the wrapper gave up
	}
	if m, err := wire.Decode(packet[:n]); err != nil || m.Type != want {
		t.Errorf("the daemon heard %+v, %v; want %s", m, err, want)
	}
}

// answer sends a message, with the claim's descriptor if there is one.
func answer(conn *net.UnixConn, m wire.Message, claim int) {
	var rights []byte
	if claim >= 0 {
		rights = unix.UnixRights(claim)
	}
	_, _, _ = conn.WriteMsgUnix(wire.Encode(m), rights, nil)
}

// newPipe returns the reading end of a pipe that holds the claim's byte.
func newPipe(t *testing.T) int {
	t.Helper()
	var pipe [2]int
	must(unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	_, err := unix.Write(pipe[1], []byte{1})
	must(err)
	must(unix.Close(pipe[1]))
	t.Cleanup(func() { unix.Close(pipe[0]) })
	return pipe[0]
}

var prepared = wire.Message{Type: wire.Prepared, CgroupsPath: "/x.scope/payload/run-buildah-buildah1"}

// TestPlaceFailsOpen: however the daemon behaves, the bundle is as it was and
// the wrapper is done in time.
func TestPlaceFailsOpen(t *testing.T) {
	const patience = 200 * time.Millisecond
	for name, script := range map[string]func(t *testing.T, conn *net.UnixConn){
		"closes at once": func(*testing.T, *net.UnixConn) {},
		"says nothing":   func(_ *testing.T, conn *net.UnixConn) { _, _ = io.Copy(io.Discard, conn) },
		"refuses": func(t *testing.T, conn *net.UnixConn) {
			hear(t, conn, wire.Prepare)
			answer(conn, wire.Message{Type: wire.Refused, Reason: "no"}, -1)
		},
		"talks nonsense": func(t *testing.T, conn *net.UnixConn) {
			hear(t, conn, wire.Prepare)
			_, _ = conn.Write([]byte("nonsense"))
		},
		"answers out of turn": func(t *testing.T, conn *net.UnixConn) {
			hear(t, conn, wire.Prepare)
			answer(conn, wire.Message{Type: wire.Entered}, -1)
		},
		"refuses the second step": func(t *testing.T, conn *net.UnixConn) {
			hear(t, conn, wire.Prepare)
			answer(conn, prepared, newPipe(t))
			hear(t, conn, wire.Enter)
			answer(conn, wire.Message{Type: wire.Refused, Reason: "no"}, -1)
		},
		"hangs in the second step": func(t *testing.T, conn *net.UnixConn) {
			hear(t, conn, wire.Prepare)
			answer(conn, prepared, newPipe(t))
			hear(t, conn, wire.Enter)
			_, _ = io.Copy(io.Discard, conn) // until the wrapper has given up
		},
		"goes away in the second step": func(t *testing.T, conn *net.UnixConn) {
			hear(t, conn, wire.Prepare)
			answer(conn, prepared, newPipe(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := makeBundle(t, config)
			socket := fakeDaemon(t, func(conn *net.UnixConn) { script(t, conn) })
			started := time.Now()
			placed, err := place(creation{bundle: dir, container: "buildah-buildah1"}, on(socket), started.Add(patience))
			if placed || err == nil {
				t.Errorf("placed %v, error %v", placed, err)
			}
			if got := contents(t, dir); got[configName] != config || len(got) != 1 {
				t.Errorf("the bundle holds %v", got)
			}
			if took := time.Since(started); took > wire.Patience {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestPlaceWithoutDaemon(t *testing.T) {
	dir := makeBundle(t, config)
	c := creation{bundle: dir, container: "buildah-buildah1"}
	if placed, err := place(c, on(filepath.Join(t.TempDir(), "none")), time.Now().Add(time.Second)); placed || err == nil {
		t.Errorf("placed %v, error %v", placed, err)
	}
}

func TestPlaceRewritesTheBundleWhenTheDaemonHasMovedIt(t *testing.T) {
	dir := makeBundle(t, config)
	socket := fakeDaemon(t, func(conn *net.UnixConn) {
		hear(t, conn, wire.Prepare)
		answer(conn, prepared, newPipe(t))
		hear(t, conn, wire.Enter)
		if got := contents(t, dir)[configName]; got == config {
			t.Error("the wrapper asks to be moved before the bundle is ready")
		}
		answer(conn, wire.Message{Type: wire.Entered}, -1)
	})
	placed, err := place(creation{bundle: dir, container: "buildah-buildah1"}, on(socket), time.Now().Add(time.Second))
	if !placed || err != nil {
		t.Fatalf("placed %v, error %v", placed, err)
	}
	want := `{"linux":{"cgroupsPath":"` + prepared.CgroupsPath + `"}}`
	if got := contents(t, dir); got[configName] != want || len(got) != 1 {
		t.Errorf("the bundle holds %v", got)
	}
}

// TestGivenUpRequestIsWithdrawn: the daemon that wakes up after the wrapper has
// gone on finds no claim to act on.
func TestGivenUpRequestIsWithdrawn(t *testing.T) {
	dir := makeBundle(t, config)
	claim := newPipe(t)
	release := make(chan struct{})
	socket := fakeDaemon(t, func(conn *net.UnixConn) {
		hear(t, conn, wire.Prepare)
		answer(conn, prepared, claim)
		hear(t, conn, wire.Enter)
		<-release
	})
	placed, err := place(creation{bundle: dir, container: "buildah-buildah1"}, on(socket), time.Now().Add(50*time.Millisecond))
	if placed || !errors.Is(err, errPatience) {
		t.Errorf("placed %v, error %v", placed, err)
	}
	var b [1]byte
	if n, _ := unix.Read(claim, b[:]); n == 1 {
		t.Error("the daemon could still act")
	}
	close(release)
}

// TestRequestThatTheDaemonHasClaimedIsAwaited, however long it takes: the runtime must not begin
// while the daemon may still move it. When that has ended instead, nothing was done.
func TestRequestThatTheDaemonHasClaimedIsAwaited(t *testing.T) {
	dir := makeBundle(t, config)
	var pipe [2]int
	must(unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	gone := make(chan struct{})
	socket := fakeDaemon(t, func(conn *net.UnixConn) {
		hear(t, conn, wire.Prepare)
		answer(conn, prepared, pipe[0]) // without the byte: it has been taken
		hear(t, conn, wire.Enter)
		<-gone
	})
	const patience = 50 * time.Millisecond
	done := make(chan error, 1)
	go func() {
		_, err := place(creation{bundle: dir, container: "buildah-buildah1"}, on(socket), time.Now().Add(patience))
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("not awaited: %v", err)
	case <-time.After(4 * patience):
	}
	must(unix.Close(pipe[1]))
	if err := <-done; !errors.Is(err, errPatience) {
		t.Errorf("error %v", err)
	}
	if got := contents(t, dir); got[configName] != config || len(got) != 1 {
		t.Errorf("the bundle holds %v", got)
	}
	close(gone)
}

// TestDaemonThatEndsMidwayIsAskedOnceMore: systemd starts another, and holds the socket meanwhile.
func TestDaemonThatEndsMidwayIsAskedOnceMore(t *testing.T) {
	for name, first := range map[string]func(t *testing.T, conn *net.UnixConn){
		"when it is asked":  func(*testing.T, *net.UnixConn) {},
		"when it has heard": func(t *testing.T, conn *net.UnixConn) { hear(t, conn, wire.Prepare) },
		"when it has made a place": func(t *testing.T, conn *net.UnixConn) {
			hear(t, conn, wire.Prepare)
			answer(conn, prepared, newPipe(t))
		},
		"when it is to move the caller": func(t *testing.T, conn *net.UnixConn) {
			hear(t, conn, wire.Prepare)
			answer(conn, prepared, newPipe(t))
			hear(t, conn, wire.Enter)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := makeBundle(t, config)
			socket := fakeDaemon(t, func(conn *net.UnixConn) { first(t, conn) }, func(conn *net.UnixConn) {
				hear(t, conn, wire.Prepare)
				if got := contents(t, dir); got[configName] != config || len(got) != 1 {
					t.Errorf("the bundle holds %v", got)
				}
				answer(conn, prepared, newPipe(t))
				hear(t, conn, wire.Enter)
				answer(conn, wire.Message{Type: wire.Entered}, -1)
			})
			placed, err := place(creation{bundle: dir, container: "buildah-buildah1"}, on(socket), time.Now().Add(10*time.Second))
			if !placed || err != nil {
				t.Errorf("placed %v, error %v", placed, err)
			}
		})
	}
}

func TestPlaceDoesNotStartAContainerOfAnEndedBuild(t *testing.T) {
	dir := makeBundle(t, config)
	socket := fakeDaemon(t, func(conn *net.UnixConn) {
		hear(t, conn, wire.Prepare)
		answer(conn, wire.Message{Type: wire.Ended, Reason: "stopped"}, -1)
	})
	_, err := place(creation{bundle: dir, container: "buildah-buildah1"}, on(socket), time.Now().Add(time.Second))
	var ended endedError
	if !errors.As(err, &ended) || ended.reason != "stopped" {
		t.Errorf("error %v", err)
	}
}

// on is the surroundings of a host where all is well.
func on(socket string) surroundings {
	return surroundings{socket, func() error { return nil }, func(string) error { return nil }}
}

// TestStepIsLeftAloneWhereTheRuntimeCouldMakeNoCgroup: below ProtectControlGroups=yes,
// crun fails with a path in config.json, and does without one. The daemon is told, and
// asked for nothing.
func TestStepIsLeftAloneWhereTheRuntimeCouldMakeNoCgroup(t *testing.T) {
	readOnly := errors.New("read-only")
	dir := makeBundle(t, config)
	socket := fakeDaemon(t, func(conn *net.UnixConn) { hear(t, conn, wire.Outside) })
	around := on(socket)
	around.hierarchy = func() error { return readOnly }
	placed, err := place(creation{bundle: dir, container: "buildah-buildah1"}, around, time.Now().Add(time.Second))
	if placed || !errors.Is(err, readOnly) {
		t.Errorf("placed %v, error %v", placed, err)
	}
	if got := contents(t, dir); got[configName] != config || len(got) != 1 {
		t.Errorf("the bundle holds %v", got)
	}
}

// TestStepIsLeftAloneWhereItsPlaceIsNotToBeSeen: what is mounted is another part of
// the hierarchy.
func TestStepIsLeftAloneWhereItsPlaceIsNotToBeSeen(t *testing.T) {
	dir := makeBundle(t, config)
	socket := fakeDaemon(t, func(conn *net.UnixConn) {
		hear(t, conn, wire.Prepare)
		answer(conn, prepared, newPipe(t))
		if n, _ := conn.Read(make([]byte, wire.MaxMessage)); n != 0 {
			t.Error("the wrapper asks to be moved")
		}
	})
	around := on(socket)
	around.usablePlace = func(cgroupsPath string) error {
		if cgroupsPath != prepared.CgroupsPath {
			t.Errorf("looked at %q", cgroupsPath)
		}
		return unix.ENOENT
	}
	placed, err := place(creation{bundle: dir, container: "buildah-buildah1"}, around, time.Now().Add(time.Second))
	if placed || !errors.Is(err, unix.ENOENT) {
		t.Errorf("placed %v, error %v", placed, err)
	}
	if got := contents(t, dir); got[configName] != config || len(got) != 1 {
		t.Errorf("the bundle holds %v", got)
	}
}

func TestOnlyAWritableHierarchyWillDo(t *testing.T) {
	for name, mount := range map[string]string{"none": filepath.Join(t.TempDir(), "none"), "another file system": t.TempDir()} {
		if err := checkMount(mount); err == nil {
			t.Errorf("%s: %s will do", name, mount)
		}
	}
}
