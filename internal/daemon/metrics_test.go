package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/metrics"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
)

// TestMetricsWaitForAGoodWebConfig: they are served to nobody without what is to protect
// them, and what is wrong is said once.
func TestMetricsWaitForAGoodWebConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "web.yml")
	must(t, os.WriteFile(file, []byte("basic_auth_users: {a: no-hash}\n"), 0o600))
	said := make(chan string, 100)
	good := make(chan bool)
	go func() {
		good <- awaitWebConfig(t.Context(), file, time.Millisecond, func(err error) { said <- err.Error() })
	}()
	if first := <-said; !strings.Contains(first, "bcrypt") && !strings.Contains(first, "hashedSecret") {
		t.Errorf("of a bad hash it says %q", first)
	}
	must(t, os.Chmod(file, 0o666))
	if second := <-said; !strings.Contains(second, file) || !strings.Contains(second, "written by group or others") {
		t.Errorf("of a file that anybody can write it says %q", second)
	}
	must(t, os.WriteFile(file, nil, 0o600))
	must(t, os.Chmod(file, 0o600))
	if !<-good {
		t.Error("it does not see that the file is good")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if awaitWebConfig(ctx, filepath.Join(dir, "none"), time.Hour, func(error) {}) {
		t.Error("a file that is not there is good")
	}
}

// TestSocketsAreToldApart: those of buildwatchd-metrics.socket from the others, and each is
// there for the next run.
func TestSocketsAreToldApart(t *testing.T) {
	made, _, _ := makeAll(t)
	public, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s, err := passedSockets([]net.Listener{public, made.control, made.runtime})
	must(t, err)
	again, err := s.dup()
	must(t, err)
	s.close()
	defer again.close()
	if len(again.metrics) != 1 || again.metrics[0].Addr().String() != public.Addr().String() || !again.passed {
		t.Errorf("got %+v", again)
	}
	if _, err := passedSockets([]net.Listener{public}); err == nil {
		t.Error("the others are not missed")
	}
}

// TestMetricsGoOnByAnotherWebConfig: with TLS that has come nobody's password is taken in the
// clear any more, and with TLS that has gone there are answers again; what is bad serves nobody.
func TestMetricsGoOnByAnotherWebConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	certificate(t, filepath.Dir(file))
	write := func(text string) { must(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("")
	public, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer public.Close()
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		serveMetrics(ctx, config.Metrics{WebConfig: file}, sockets{metrics: []*net.TCPListener{public.(*net.TCPListener)}}, metrics.New(metrics.Options{}), time.Millisecond, log)
	}()
	client := &http.Client{Timeout: 500 * time.Millisecond, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	becomes := func(what string, plain, encrypted int) {
		t.Helper()
		proctest.Eventually(t, what, func() bool {
			return answer(client, "http://"+public.Addr().String()) == plain && answer(client, "https://"+public.Addr().String()) == encrypted
		})
	}
	const none = 0
	becomes("it is served in the clear", http.StatusOK, none)
	write("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
	becomes("it is encrypted alone, though connections were open", http.StatusBadRequest, http.StatusOK)
	write("tls_server_config: {cert_file: none.pem, key_file: key.pem}\n")
	becomes("nobody is served by a bad file", none, none)
	write("{}\n")
	becomes("it is served in the clear again", http.StatusOK, none)
	client.CloseIdleConnections()
	cancel()
	<-done
}

// answer is the status of the answer, 0 without one.
func answer(client *http.Client, address string) int {
	response, err := client.Get(address + "/-/healthy")
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// certificate puts a certificate and its key into dir.
func certificate(t *testing.T, dir string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
}
