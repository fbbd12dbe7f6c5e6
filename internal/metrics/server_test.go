package metrics

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/buildwatch/buildwatch/internal/proc/proctest"
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
	go func() { done <- m.serve(ctx, l, "") }()
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

// TestManySlowScrapersAreHeldToTheCap: a thousand of them hold only so many descriptors of the
// daemon.
func TestManySlowScrapersAreHeldToTheCap(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const most = 3
	limited := limit(l, most).(*limitListener)
	defer limited.Close()
	connect := func() (ours, theirs net.Conn) {
		t.Helper()
		theirs, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = theirs.Close() })
		if ours, err = limited.Accept(); err != nil {
			t.Fatal(err)
		}
		return ours, theirs
	}
	isClosed := func(conn net.Conn) bool {
		_, err := conn.Write([]byte("x"))
		return errors.Is(err, net.ErrClosed)
	}
	var all []net.Conn
	for range most {
		ours, _ := connect()
		all = append(all, ours)
	}
	// The first one says something, so the second is the one that was quiet longest.
	time.Sleep(time.Millisecond)
	if isClosed(all[0]) {
		t.Fatal("a connection within the cap is closed")
	}
	last, _ := connect()
	if len(limited.open) != most || !isClosed(all[1]) || isClosed(all[0]) || isClosed(all[2]) || isClosed(last) {
		t.Errorf("%d are open; closed: %v %v %v, %v", len(limited.open), isClosed(all[0]), isClosed(all[1]), isClosed(all[2]), isClosed(last))
	}
	_ = last.Close()
	_ = last.Close()
	if len(limited.open) != most-1 {
		t.Errorf("%d are open after one was closed", len(limited.open))
	}
}

// TestWhoHoldsAllConnectionsKeepsNobodyFromTheMetrics: as many as there may be, and more, that
// say nothing, or ask and do not read.
func TestWhoHoldsAllConnectionsKeepsNobodyFromTheMetrics(t *testing.T) {
	addr := start(t, newMetrics())
	for i := range 3 * maxConnections {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = fmt.Fprint(conn, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 50))
		}
	}
	client := http.Client{Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for range 3 {
		response, err := client.Get("http://" + addr + "/-/healthy")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
}

// TestTakenPortIsAnErrorAtOnce, and the other addresses are served all the same.
func TestTakenPortIsAnErrorAtOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	passed, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	ctx, cancel := context.WithCancel(t.Context())
	failed, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		newMetrics().Serve(ctx, Where{
			Listen: []netip.AddrPort{netip.MustParseAddrPort(taken.Addr().String()), netip.MustParseAddrPort(free.Addr().String())},
			Passed: []net.Listener{passed},
		}, func(err error) { failed <- err })
	}()
	if err := <-failed; !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got %v", err)
	}
	for _, l := range []net.Listener{free, passed} {
		if status := scrape(t, http.DefaultClient, "http://"+l.Addr().String()+"/metrics", "", ""); status != http.StatusOK {
			t.Errorf("%s: %d", l.Addr(), status)
		}
	}
	cancel()
	<-done
	http.DefaultClient.CloseIdleConnections()
}

// scrape asks until there is an answer.
func scrape(t *testing.T, client *http.Client, address, name, password string) (status int) {
	t.Helper()
	var last error
	proctest.Eventually(t, "there is an answer", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if name != "" {
			r.SetBasicAuth(name, password)
		}
		response, err := client.Do(r)
		if last = err; err != nil {
			return false
		}
		_ = response.Body.Close()
		status = response.StatusCode
		return true
	})
	if last != nil {
		t.Fatal(last)
	}
	return status
}

// TestMetricsOverTLSWithAPassword: neither without the one nor without the other.
func TestMetricsOverTLSWithAPassword(t *testing.T) {
	dir := t.TempDir()
	pool := certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "web.yml")
	text := fmt.Sprintf("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {prometheus: %q}\n", hash)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var sockets []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		newMetrics().Serve(ctx, Where{Passed: sockets, WebConfig: file}, func(err error) { t.Error(err) })
	}()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for _, l := range sockets {
		address := "https://" + l.Addr().String() + "/metrics"
		for _, test := range []struct {
			name, password string
			want           int
		}{{"prometheus", "secret", http.StatusOK}, {"", "", http.StatusUnauthorized}, {"prometheus", "wrong", http.StatusUnauthorized}, {"other", "secret", http.StatusUnauthorized}} {
			if status := scrape(t, client, address, test.name, test.password); status != test.want {
				t.Errorf("%q %q: %d, want %d", test.name, test.password, status, test.want)
			}
		}
		if status := scrape(t, client, "http://"+l.Addr().String()+"/metrics", "prometheus", "secret"); status != http.StatusBadRequest {
			t.Errorf("without TLS: %d", status)
		}
	}
	client.CloseIdleConnections()
	cancel()
	<-done
}

// certificate puts a key and a certificate of its own into dir.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

func TestIdleConnectionsDoNotKeepTheServerFromStopping(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- newMetrics().serve(ctx, l, "") }()
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
