package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/peer"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// oneBuild is a build of UID 1000 whose stop lasts until release is closed, or
// the caller or the daemon no longer waits.
type oneBuild struct {
	began   chan struct{} // holds a token for each stop under way
	release chan struct{}
	stopped chan error // how each stop ended
}

func newOneBuild() *oneBuild {
	return &oneBuild{began: make(chan struct{}, 10), release: make(chan struct{}), stopped: make(chan error, 10)}
}

// untilBegun waits until a stop is under way.
func (b *oneBuild) untilBegun(t *testing.T) {
	t.Helper()
	select {
	case <-b.began:
	case <-time.After(patience):
		t.Fatal("nobody is asked for the stop")
	}
}

func (b *oneBuild) build() api.Build {
	return api.Build{BuildHead: api.BuildHead{ID: "bbbb2222", State: api.StateGone, User: api.User{UID: 1000}}}
}

func (b *oneBuild) Heads() []api.BuildHead { return []api.BuildHead{b.build().BuildHead} }

func (b *oneBuild) List(may func(api.User) bool) []api.Build {
	return slices.DeleteFunc([]api.Build{b.build()}, func(b api.Build) bool { return !may(b.User) })
}

func (b *oneBuild) Detail(string) (api.BuildDetail, error) {
	return api.BuildDetail{Build: b.build()}, nil
}

func (b *oneBuild) Stop(ctx context.Context, _ string, _ uint32, _ api.StopRequest) (api.Build, error) {
	select {
	case b.began <- struct{}{}:
	default:
	}
	select {
	case <-b.release:
	case <-ctx.Done():
	}
	b.stopped <- ctx.Err()
	return b.build(), ctx.Err()
}

func (b *oneBuild) Plan(context.Context, string, api.StopRequest) (api.Plan, error) {
	return api.Plan{Build: api.BuildHead{ID: "bbbb2222"}}, nil
}

// Watch tells of the one build, again and again, for as long as somebody reads.
func (b *oneBuild) Watch(ctx context.Context, may func(api.User) bool, each func(api.Event) error) error {
	if !may(api.User{UID: 1000}) {
		return nil
	}
	for ctx.Err() == nil {
		if err := each(api.Event{Kind: api.EventState, Build: &api.BuildHead{ID: "bbbb2222"}}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// serve starts a server whose peers are all UID 1000, and returns how to connect
// to it and how to stop it.
func serve(t *testing.T, s *Server) (connect func() net.Conn, stop func()) {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	s.Log = log
	if s.Identify == nil {
		s.Identify = func(syscall.Conn) (peer.Credentials, error) { return peer.Of(1, 1000, 1000), nil }
	}
	path := filepath.Join(t.TempDir(), "s")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, socket) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(stop)
	return func() net.Conn {
		for {
			conn, err := net.Dial("unix", path)
			if err == nil {
				_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
				t.Cleanup(func() { conn.Close() })
				return conn
			}
			if !strings.Contains(err.Error(), "temporarily unavailable") {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond) // the queue is full
		}
	}, stop
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// patience is longer than an answer takes, but in a broken test.
const patience = 30 * time.Second

func answer(t *testing.T, conn net.Conn) (int, string) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	defer conn.SetReadDeadline(time.Time{})
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

const (
	listRequest = "GET /v1/builds HTTP/1.1\r\nHost: x\r\n\r\n"
	stopRequest = "POST /v1/builds/b/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
)

// TestStopsAtOnceWithThousandsOfIdlePeers is snapd's LP#1946656 and more:
// none of them ever sends a whole request.
func TestStopsAtOnceWithThousandsOfIdlePeers(t *testing.T) {
	peers := 5000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	peers = min(peers, int(limit.Cur)/3)
	var accepted atomic.Int64
	s := New(Options{Builds: newOneBuild(), Identify: func(syscall.Conn) (peer.Credentials, error) {
		accepted.Add(1)
		return peer.Of(1, 1000, 1000), nil
	}})
	connect, stop := serve(t, s)
	for i := range peers {
		conn := connect()
		switch i % 4 {
		case 0: // silent
		case 1:
			send(t, conn, "GET /v1/bui")
		case 2:
			send(t, conn, listRequest) // idle from then on, and reads nothing
		case 3:
			send(t, conn, "POST /v1/builds/b/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
		}
	}
	proctest.Eventually(t, "all are accepted", func() bool { return accepted.Load() == int64(peers) })
	begin := time.Now()
	stop()
	took := time.Since(begin)
	t.Logf("stopped with %d peers in %s", peers, took)
	if took > s.limits.request/2 { // it waited for them
		t.Errorf("stopping took %s", took)
	}
}

func TestStopUnderWayIsAnsweredWhenTheDaemonStops(t *testing.T) {
	builds := newOneBuild()
	connect, stop := serve(t, New(Options{Builds: builds}))
	conn := connect()
	send(t, conn, stopRequest)
	builds.untilBegun(t)
	stop()
	code, body := answer(t, conn)
	if code != 503 || !strings.Contains(body, "being stopped") {
		t.Errorf("%d %s", code, body)
	}
}

func TestSlowPeersAreCutOff(t *testing.T) {
	s := New(Options{Builds: newOneBuild()})
	s.limits.request, s.limits.idle = 200*time.Millisecond, 200*time.Millisecond
	connect, _ := serve(t, s)
	for name, text := range map[string]string{
		"silent":        "",
		"half a header": "GET /v1/builds HTTP/1.1\r\nHo",
		"half a body":   "POST /v1/builds/b/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
		"idle":          listRequest,
	} {
		t.Run(name, func(t *testing.T) {
			conn := connect()
			send(t, conn, text)
			begin := time.Now()
			_, _ = io.Copy(io.Discard, conn)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("held for %s", took)
			}
		})
	}
}

// TestStopMayLastLongerThanARequest: the time that a client has to send its
// request does not end its waiting for the answer.
func TestStopMayLastLongerThanARequest(t *testing.T) {
	builds := newOneBuild()
	s := New(Options{Builds: builds})
	s.limits.request, s.limits.answer = 100*time.Millisecond, 100*time.Millisecond
	connect, _ := serve(t, s)
	conn := connect()
	send(t, conn, stopRequest)
	proctest.After(t, time.Now(), 2*(s.limits.request+s.limits.answer))
	close(builds.release)
	if code, body := answer(t, conn); code != 200 {
		t.Errorf("%d %s", code, body)
	}
	if err := <-builds.stopped; err != nil {
		t.Errorf("the waiting ended: %v", err)
	}
}

func TestClientThatGoesAwayIsNotWaitedFor(t *testing.T) {
	builds := newOneBuild()
	connect, _ := serve(t, New(Options{Builds: builds}))
	conn := connect()
	send(t, conn, stopRequest)
	builds.untilBegun(t)
	conn.Close()
	select {
	case err := <-builds.stopped:
		if err == nil {
			t.Error("the stop was released")
		}
	case <-time.After(5 * time.Second):
		t.Error("still waiting")
	}
}

func TestOneUserCannotHoldAllConnections(t *testing.T) {
	var uid atomic.Uint32
	uid.Store(1000)
	s := New(Options{
		Builds:   newOneBuild(),
		Limiter:  peer.NewLimiter(3, 100),
		Identify: func(syscall.Conn) (peer.Credentials, error) { return peer.Of(1, uid.Load(), 1000), nil },
	})
	connect, _ := serve(t, s)
	for range 3 {
		conn := connect()
		send(t, conn, listRequest)
		if code, body := answer(t, conn); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
	}
	over := connect()
	if n, err := over.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes for a connection over the limit", n)
	}
	uid.Store(1001)
	conn := connect()
	send(t, conn, listRequest)
	if code, body := answer(t, conn); code != 200 || strings.Contains(body, "bbbb2222") {
		t.Errorf("another user: %d %s", code, body)
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	connect, _ := serve(t, New(Options{Builds: newOneBuild()}))
	conn := connect()
	go func() {
		_, _ = fmt.Fprintf(conn, "GET /v1/builds HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	}()
	if code, _ := answer(t, conn); code != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", code)
	}
}

func TestRequestWithoutIdentityFindsNothing(t *testing.T) {
	s := New(Options{Builds: newOneBuild()})
	if got, err := s.resolve(caller(context.Background()), "bbbb2222"); err == nil {
		t.Errorf("nobody finds %v", got)
	}
}
