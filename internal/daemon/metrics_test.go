package daemon

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
