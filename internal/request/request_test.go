package request

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

const never = 10 * time.Second

func TestMain(m *testing.M) {
	proctest.Roles{"monitor": beMonitor}.Play()
	os.Exit(m.Run())
}

func TestCheckPath(t *testing.T) {
	for _, path := range []string{"/var/tmp/libpod_builder1", "/tmp/libpod_builder12345678901234567890"} {
		if err := CheckPath(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{
		"", "/", "libpod_builder1", "/home/x/libpod_builder1", "/var/tmp/libpod_builder", "/var/tmp/libpod_builderx",
		"/var/tmp/../tmp/libpod_builder1", "/var/tmp//libpod_builder1", "/var/tmp/x/libpod_builder1",
		"/proc/1/root/var/tmp/libpod_builder1", "/var/tmp/libpod_builder1\n", "/var/tmp/libpod_builder1/.",
		"/var/tmp/libpod_builder123456789012345678901",
	} {
		if err := CheckPath(path); err == nil {
			t.Errorf("%q passes", path)
		}
	}
}

// makeDir makes a directory as a request's handler does.
func makeDir(t *testing.T) string {
	t.Helper()
	path := fmt.Sprintf("%s/%s%d", podman.TemporaryDirectory, podman.RequestPrefix, time.Now().UnixNano())
	if err := os.MkdirAll(filepath.Join(path, podman.RequestContext), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(path) })
	return path
}

func remove(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

func self(t *testing.T) *proc.Handle {
	t.Helper()
	h, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// conn is a connection to the service that this process is: the client's end, and the
// service's.
type conn struct{ client, served net.Conn }

// hangUp is what a client that goes does, and then the service.
func (c conn) hangUp() {
	c.client.Close()
	c.served.Close()
}

// serve makes this process serve on a network: it listens, and has accepted so many
// connections.
func serve(t *testing.T, network, address string, n int) []conn {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	var conns []conn
	for range n {
		client, err := net.Dial(network, listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		served, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := conn{client, served}
		t.Cleanup(c.hangUp)
		conns = append(conns, c)
	}
	return conns
}

func serveUnix(t *testing.T, n int) []conn {
	t.Helper()
	return serve(t, "unix", filepath.Join(t.TempDir(), "socket"), n)
}

// request is what See finds of a request of this process's that has the directories.
func request(t *testing.T, dirs ...string) Request {
	t.Helper()
	h := self(t)
	conns, all, err := accepted(h)
	if err != nil || !all {
		t.Fatal(all, err)
	}
	r := Request{Service: h.Identity, Conns: conns, seen: time.Now()}
	for _, path := range dirs {
		d, err := look(path)
		if err != nil {
			t.Fatal(err)
		}
		r.Dirs = append(r.Dirs, d)
	}
	return r
}

func TestRequestMeansTheSameWhenItWasWrittenDown(t *testing.T) {
	serveUnix(t, 2)
	r := request(t, makeDir(t))
	written, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Request
	if err := json.Unmarshal(written, &again); err != nil {
		t.Fatal(err)
	}
	if r.seen = (time.Time{}); !reflect.DeepEqual(again, r) || r.Key() == "" {
		t.Errorf("%s became %+v", written, again)
	}
}

// wait starts to wait for a request.
func wait(t *testing.T, r Request) (standing chan Standing, over chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	standing, over = make(chan Standing, 10), make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		last := Standing(-1)
		over <- NewWatcher(proc.NewReader()).Wait(ctx, r, func(now Sight) {
			if now.Standing != last {
				last = now.Standing
				standing <- last
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	next(t, standing, Live)
	return standing, over
}

func next(t *testing.T, standing chan Standing, want Standing) {
	t.Helper()
	select {
	case got := <-standing:
		if got != want {
			t.Fatalf("it stands at %d, want %d", got, want)
		}
	case <-time.After(never):
		t.Fatalf("it does not come to %d", want)
	}
}

func ends(t *testing.T, over chan error) {
	t.Helper()
	select {
	case err := <-over:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(never):
		t.Fatal("the request's end is not seen")
	}
}

// goesOn fails where the request is taken for over within some time.
func goesOn(t *testing.T, over chan error) {
	t.Helper()
	select {
	case err := <-over:
		t.Fatalf("the request is taken for over: %v", err)
	case <-time.After(1500 * time.Millisecond): // some looks, and longer than near
	}
}

func TestRequestEndsWithItsDirectoryAndItsConnection(t *testing.T) {
	for network, address := range map[string]string{"unix": "@" + t.Name(), "tcp": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		t.Run(network, func(t *testing.T) {
			conns := serve(t, network[:min(len(network), 4)], address, 2)
			dir := makeDir(t)
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			_, over := wait(t, request(t, dir))
			conns[0].client.Close()
			remove(t, dir)
			conns[0].served.Close()
			ends(t, over)
		})
	}
}

// Attack 19: a cleaner removes a live build's directory.
func TestRequestWhoseDirectoryWasRemovedIsKept(t *testing.T) {
	conns := serveUnix(t, 2)
	dir := makeDir(t)
	standing, over := wait(t, request(t, dir))
	remove(t, dir)
	next(t, standing, Left)
	if err := os.Mkdir(dir, 0o700); err != nil { // and somebody makes another one
		t.Fatal(err)
	}
	goesOn(t, over)
	conns[0].hangUp()
	goesOn(t, over)
	conns[1].hangUp()
	ends(t, over)
}

// Attack 19: a cleaner removes a live build's directory, and somebody else's connection
// ends, sooner or later.
func TestConnectionOfSomebodyElseThatEndsEndsNoRequest(t *testing.T) {
	conns := serveUnix(t, 2)
	dir := makeDir(t)
	standing, over := wait(t, request(t, dir))
	conns[1].hangUp()
	goesOn(t, over)
	remove(t, dir)
	next(t, standing, Left)
	goesOn(t, over)
}

// TestEachWitnessIsTold: what is known of a build's request is shown to its user.
func TestEachWitnessIsTold(t *testing.T) {
	conns := serveUnix(t, 2)
	dir := makeDir(t)
	ctx, cancel := context.WithTimeout(context.Background(), never)
	defer cancel()
	var seen []Sight
	err := NewWatcher(proc.NewReader()).Wait(ctx, request(t, dir), func(now Sight) {
		seen = append(seen, now)
		switch len(seen) {
		case 1:
			conns[0].client.Close()
		case 2:
			remove(t, dir)
			conns[0].served.Close()
		}
	})
	want := []Sight{{Live, 1, 0, 2, 0, false}, {Live, 1, 0, 2, 1, false}, {Over, 1, 1, 2, 1, false}}
	if err != nil || !slices.Equal(seen, want) {
		t.Errorf("seen %v, want %v; %v", seen, want, err)
	}
}

func TestRequestWhoseHandlerHangsEndsWithAllConnections(t *testing.T) {
	conns := serveUnix(t, 2)
	_, over := wait(t, request(t, makeDir(t)))
	conns[0].client.Close()
	conns[1].client.Close()
	ends(t, over)
}

func TestWaitEndsWithTheContext(t *testing.T) {
	serveUnix(t, 1)
	ctx, cancel := context.WithCancel(context.Background())
	err := NewWatcher(proc.NewReader()).Wait(ctx, request(t, makeDir(t)), func(Sight) { cancel() })
	if err != context.Canceled {
		t.Errorf("Wait returned %v", err)
	}
}

// TestRequestOfAnEarlierDaemonIsLookedAtAgain: it has not written down by which
// descriptors the service holds its connections.
func TestRequestOfAnEarlierDaemonIsLookedAtAgain(t *testing.T) {
	conns := serveUnix(t, 2)
	dir := makeDir(t)
	r := request(t, dir)
	for i := range r.Conns {
		r.Conns[i].FD, r.Conns[i].Inode = 0, 1
	}
	r.seen = time.Time{}
	_, over := wait(t, r)
	conns[0].client.Close()
	remove(t, dir)
	conns[0].served.Close()
	ends(t, over)
}

// TestServiceThatHasEndedServesNoRequest.
func TestServiceThatHasEndedServesNoRequest(t *testing.T) {
	c := proctest.Shell(t, "")
	h, err := proc.Open(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	c.End()
	c.Status()
	var last Sight
	err = NewWatcher(proc.NewReader()).Wait(t.Context(), Request{Service: h.Identity}, func(now Sight) { last = now })
	if err != nil || last.Standing != Over {
		t.Errorf("%v, %v", last, err)
	}
}
