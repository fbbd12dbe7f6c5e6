//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// watching runs buildwatchctl watch aside, and returns its lines as they come.
func watching(t *testing.T, socket string, args ...string) (next func() string, ended chan int, complaints *lockedBuffer) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	complaints, ended = &lockedBuffer{}, make(chan int, 1)
	go func() {
		ended <- Main(append([]string{"watch"}, args...), Environment{Out: write, Err: complaints, Now: nowIs, Getenv: only(socketVariable, socket)})
		write.Close()
	}()
	t.Cleanup(func() {
		read.Close()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("nobody reads, and it does not end")
		}
	})
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(read); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return func() string {
		t.Helper()
		select {
		case line := <-lines:
			return line
		case <-time.After(10 * time.Second):
			t.Fatalf("no line comes; stderr: %s", complaints)
			return ""
		}
	}, ended, complaints
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func event(kind api.EventKind, id string, state api.State) api.Event {
	return api.Event{Time: now, Kind: kind, Build: &api.BuildHead{
		ID: id, State: state, Placement: api.PlacementScope, Owner: api.Owner{PID: 7, Command: "buildah bud"}, User: api.User{UID: 5, Name: "bob\x1b"},
	}}
}

func TestWatchPrintsALineForEachEvent(t *testing.T) {
	socket, builds := start(t, twoBuilds()...)
	next, _, _ := watching(t, socket)
	zero := "  "
	for _, want := range []string{
		zero + "bcdf2345  is there: running, 4711 podman build of alice",
		zero + "bcdz2345  is there: stuck (owner_exited), 815 podman system service --with-a-long-name of 1001",
	} {
		if got := next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	over := event(api.EventState, "ffff2222", api.StateAbandoned)
	over.Was, over.Build.Reason, over.Build.Reported = api.StateRunning, api.ReasonDeadline, true
	rung := event(api.EventRung, "ffff2222", api.StateKilling)
	rung.Rung = &api.UsedRung{Rung: api.RungStop, Duration: api.Seconds(time.Second), TimedOut: true, Error: "no\nanswer"}
	gone := event(api.EventGone, "ffff2222", api.StateGone)
	gone.Build.Reason, gone.Took = api.ReasonDeadline, api.Seconds(1234*time.Millisecond)
	for _, row := range []struct {
		event api.Event
		want  string
	}{
		{event(api.EventStarted, "ffff2222", api.StateRunning), `ffff2222  begins: 7 buildah bud of "bob\x1b", held by its scope`},
		{over, "ffff2222  abandoned (deadline), only reported, was running"},
		{rung, `ffff2222  rung stop: 1s, ran out of time, "no\nanswer"`},
		{event("new kind", "ffff2222", api.StateStuck), "ffff2222  new kind"},
		{gone, "ffff2222  gone (deadline) after 1.234s"},
		{api.Event{Time: now, Kind: api.EventDropped, Dropped: 3}, "3 events lost: they were not read in time"},
	} {
		builds.Tell(row.event)
		if got := next(); got != "2026-01-02T03:04:05Z  "+row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}

func TestWatchJSONIsOneObjectALine(t *testing.T) {
	socket, builds := start(t, twoBuilds()...)
	next, _, _ := watching(t, socket, "--json", "--filter", "user=bob\x1b", "-f", "user=alice")
	var kinds []api.EventKind
	read := func() api.Event {
		var e api.Event
		line := next()
		if err := json.Unmarshal([]byte(line), &e); err != nil || strings.Contains(line, "\x1b") {
			t.Fatalf("%q: %v", line, err)
		}
		kinds = append(kinds, e.Kind)
		return e
	}
	if e := read(); e.Kind != api.EventPresent || e.Build.ID != "bcdf2345" {
		t.Errorf("first is %+v", e)
	}
	if e := read(); e.Kind != api.EventReady {
		t.Errorf("then comes %+v", e)
	}
	builds.Tell(event(api.EventStarted, "ffff2222", api.StateRunning))
	if e := read(); e.Build == nil || e.Build.User.Name != "bob\x1b" || !e.Time.Equal(now) {
		t.Errorf("then comes %+v", e)
	}
}

func TestWatchOfABuildEndsWithIt(t *testing.T) {
	socket, builds := start(t, twoBuilds()...)
	next, ended, complaints := watching(t, socket, "bcdf", "bcdz")
	next()
	next()
	builds.Tell(event(api.EventGone, "ffff2222", api.StateGone))
	builds.Tell(event(api.EventGone, "bcdz2345", api.StateGone))
	if got := next(); !strings.Contains(got, "bcdz2345  gone") {
		t.Errorf("got %q", got)
	}
	builds.Tell(event(api.EventGone, "bcdf2345", api.StateGone))
	select {
	case code := <-ended:
		if code != 0 || complaints.String() != "" {
			t.Errorf("exit code %d, %s", code, complaints)
		}
		ended <- code
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	if r := run(t, socket, "watch", "nosuchid"); r.code != exitFailure || !strings.Contains(r.err, "no build with ID") {
		t.Errorf("of none: %+v", r)
	}
	if r := run(t, socket, "watch", "--filter", "arch=aarch64"); r.code != exitUsage {
		t.Errorf("by architecture: %+v", r)
	}
}

// TestWatchGoesOnWhenTheDaemonIsBack, with the builds that there are then.
func TestWatchGoesOnWhenTheDaemonIsBack(t *testing.T) {
	if r := run(t, "/nonexistent/socket", "watch"); r.code != exitFailure || !strings.Contains(r.err, "not running") {
		t.Errorf("without a daemon at first: %+v", r)
	}
	first, _ := start(t, twoBuilds()...)
	second, builds := start(t, twoBuilds()[0])
	link := t.TempDir() + "/socket"
	relay := newRelay(t, link, first)
	next, ended, complaints := watching(t, link, "bcdf", "bcdz")
	next()
	next()
	relay.to(second)
	if got := next(); !strings.Contains(got, "bcdf2345  is there") {
		t.Errorf("then comes %q", got)
	}
	builds.Tell(event(api.EventGone, "bcdf2345", api.StateGone))
	next()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	ended <- 0
	said := complaints.String()
	for _, want := range []string{"asking again until it is back", "is there again", "build bcdz2345 is gone; its end was missed"} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q is not said once:\n%s", want, said)
		}
	}
}

// TestWatchGoesOnWhenItWasCutOffBeforeItKnewAllBuilds: the daemon had answered, so it is
// asked again.
func TestWatchGoesOnWhenItWasCutOffBeforeItKnewAllBuilds(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		to := json.NewEncoder(w)
		_ = to.Encode(event(api.EventPresent, "bcdf2345", api.StateRunning))
		if asked.Add(1) == 1 {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_ = to.Encode(api.Event{Kind: api.EventReady})
		_ = to.Encode(event(api.EventGone, "bcdf2345", api.StateGone))
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	next, _, complaints := watching(t, socket)
	for _, want := range []string{"is there", "is there", "gone"} {
		if got := next(); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if said := complaints.String(); !strings.Contains(said, "asking again until it is back") || !strings.Contains(said, "is there again") {
		t.Errorf("it says\n%s", said)
	}
}

func TestWatchEndsWhenNobodyReads(t *testing.T) {
	socket, _ := start(t, twoBuilds()...)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	ended := make(chan int, 1)
	go func() {
		ended <- Main([]string{"watch"}, Environment{Out: write, Err: io.Discard, Now: nowIs, Getenv: only(socketVariable, socket)})
	}()
	if _, err := bufio.NewReader(read).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	read.Close() // nothing more is written, so no write can tell
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it watches for nobody")
	}
}

// TestObservedBuildIsNotHeld, and is not said to be.
func TestObservedBuildIsNotHeld(t *testing.T) {
	for placement, want := range map[api.Placement]string{
		api.PlacementScope: "held by its scope", api.PlacementObserved: "observed where it is", "": "held by -", "x": "held by x",
	} {
		if got := (row{build: api.Build{BuildHead: api.BuildHead{Placement: placement}}}).held(); got != want {
			t.Errorf("%q is %q, want %q", placement, got, want)
		}
	}
}

func TestWatchTellsWhatWasReclaimed(t *testing.T) {
	e := api.Event{
		Kind: api.EventReclaimed, Build: &api.BuildHead{ID: "bcdf2345", State: api.StateGone},
		Reclaimed: &api.Reclaimed{Removed: 7, Left: 1, Bytes: 4 << 20, Duration: api.Seconds(300 * time.Millisecond), Why: "1 used by a process"},
	}
	if got := describeEvent(e); !strings.Contains(got, "bcdf2345  storage: 7 removed, 4.0M, in ") || !strings.Contains(got, "1 left: 1 used by a process") {
		t.Error(got)
	}
}
