package metrics

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start serves m on a free port until the test ends.
func start(t *testing.T, m *Metrics) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func request(m *Metrics, method, path, accept string) *http.Response {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestPages(t *testing.T) {
	m := newMetrics()
	for path, want := range map[string]string{
		"/":          `<a href="/metrics">`,
		"/metrics":   "\nbuildwatch_placements_total 0\n",
		"/-/healthy": "healthy",
		"/-/ready":   "ready",
	} {
		response := request(m, "GET", path, "")
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, want %q in\n%s", path, response.Status, want, body)
		}
		if response := request(m, "HEAD", path, ""); response.StatusCode != http.StatusOK {
			t.Errorf("HEAD %s: %s", path, response.Status)
		}
	}
	if response := request(m, "GET", "/other", ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("/other: %s", response.Status)
	}
}

func TestNotReady(t *testing.T) {
	m := New(Options{Ready: func() bool { return false }})
	if response := request(m, "GET", "/-/ready", ""); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %s", response.Status)
	}
}

func TestOnlyGetAndHeadAreAnswered(t *testing.T) {
	m := newMetrics()
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "WHATEVER"} {
		for _, path := range []string{"/", "/metrics", "/-/ready", "/other"} {
			if response := request(m, method, path, ""); response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %s", method, path, response.Status)
			}
		}
	}
}

func TestFormatIsNegotiated(t *testing.T) {
	for accept, want := range map[string]string{
		"": "text/plain",
		"application/openmetrics-text;version=1.0.0": "application/openmetrics-text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,text/plain;q=0.5,*/*;q=0.1": "application/vnd.google.protobuf",
	} {
		if got := request(newMetrics(), "GET", "/metrics", accept).Header.Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("Accept %q: got %s, want %s", accept, got, want)
		}
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	conn, err := net.Dial("tcp", start(t, newMetrics()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // the server stops reading
		_, _ = fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	}()
	status, err := bufio.NewReader(conn).ReadString('\n')
	// The answer may be overtaken by the reset that the unread bytes cause.
	if err == nil && !strings.Contains(status, "431") {
		t.Errorf("got %q", status)
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v", err)
	}
}

// A scraper that says nothing holds a place only until the header's time is
// over, and a thousand of them hold only so many descriptors of the daemon.
func TestManySlowScrapersAreHeldToTheCap(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const most = 3
	limited := limit(l, most)
	accepted := make(chan net.Conn)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := limited.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	for range 2 * most {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	var open []net.Conn
	for range most {
		open = append(open, <-accepted)
	}
	select {
	case <-accepted:
		t.Error("a connection beyond the cap was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	_ = open[0].Close()
	_ = open[0].Close() // twice must not free two places
	open[0] = <-accepted
	select {
	case <-accepted:
		t.Error("a connection beyond the cap was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	_ = limited.Close() // with Accept waiting for a place
	<-done
	for _, conn := range open {
		_ = conn.Close()
	}
}

func TestServerIsCapped(t *testing.T) {
	addr := start(t, newMetrics())
	for range maxConnections {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() // accepted in this order, so before the next
	}
	client := http.Client{Timeout: 200 * time.Millisecond}
	defer client.CloseIdleConnections()
	if response, err := client.Get("http://" + addr + "/-/healthy"); err == nil {
		_ = response.Body.Close()
		t.Errorf("got %s beyond the cap", response.Status)
	}
}

func TestTakenPortIsAnErrorAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = newMetrics().Serve(t.Context(), netip.MustParseAddrPort(l.Addr().String()))
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
}

func TestIdleConnectionsDoNotKeepTheServerFromStopping(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- newMetrics().serve(ctx, l) }()
	for range 2 * maxConnections {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	started := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > 2*shutdownTimeout {
		t.Errorf("took %v", took)
	}
}
