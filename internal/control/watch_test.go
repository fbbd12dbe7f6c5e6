package control

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/peer"
)

const watchRequest = "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"

// TestAttack12ReaderThatStopsReading is cut off, and keeps nobody from answers.
func TestAttack12ReaderThatStopsReading(t *testing.T) {
	s := New(Options{Builds: newOneBuild()})
	s.limits.line = 200 * time.Millisecond
	failed := make(chan bool, 10)
	s.Count = func(verb string, bad bool) {
		if verb == "watch" {
			failed <- bad
		}
	}
	connect, _ := serve(t, s)
	idle := connect()
	send(t, idle, watchRequest) // oneBuild tells as fast as it can, and nobody reads
	other := connect()
	send(t, other, listRequest)
	if code, body := answer(t, other); code != 200 {
		t.Errorf("another is answered %d %s", code, body)
	}
	select {
	case bad := <-failed:
		if !bad {
			t.Error("counted as a success")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
	if _, err := io.Copy(io.Discard, idle); err != nil {
		t.Logf("the connection ended by %v", err)
	}
}

// TestStreamEndsWithTheDaemon, which says so, to those who read.
func TestStreamEndsWithTheDaemon(t *testing.T) {
	connect, stop := serve(t, New(Options{Builds: newOneBuild()}))
	conn := connect()
	send(t, conn, watchRequest)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%v, %v", response, err)
	}
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() {
		t.Fatal(lines.Err())
	}
	go stop()
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	var e api.Event
	if err := json.Unmarshal([]byte(last), &e); err != nil || e.Kind != api.EventStopping {
		t.Errorf("the last line is %q", last)
	}
	if err := lines.Err(); err != nil {
		t.Errorf("the stream ends by %v", err)
	}
}

// TestStreamLastsLongerThanARequest: the time that a client has to send its request
// does not end the stream.
func TestStreamLastsLongerThanARequest(t *testing.T) {
	s := New(Options{Builds: newOneBuild()})
	s.limits.request, s.limits.answer = 100*time.Millisecond, 100*time.Millisecond
	connect, _ := serve(t, s)
	conn := connect()
	send(t, conn, watchRequest)
	read := bufio.NewReader(conn)
	for began := time.Now(); time.Since(began) < 400*time.Millisecond; {
		if _, err := read.ReadString('\n'); err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
	}
}

func TestStreamOfAnotherUserTellsNothing(t *testing.T) {
	s := New(Options{Builds: newOneBuild(), Identify: func(syscall.Conn) (peer.Credentials, error) { return peer.Of(1, 1001, 1001), nil }})
	connect, _ := serve(t, s)
	conn := connect()
	send(t, conn, watchRequest)
	if code, body := answer(t, conn); code != 200 || strings.Contains(body, "bbbb2222") {
		t.Errorf("%d %s", code, body)
	}
}
