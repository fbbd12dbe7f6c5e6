package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/lifecycle"
	"github.com/buildwatch/buildwatch/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// complete checks that a test has thought of every field.
func complete(t *testing.T, values ...any) {
	t.Helper()
	for _, value := range values {
		for field, v := range reflect.ValueOf(value).Fields() {
			if v.IsZero() {
				t.Errorf("%T.%s is not tested", value, field.Name)
			}
		}
	}
}

// TestEveryTimeoutIsItsOwn: each key of [ladder] bounds the rung that it is named for.
func TestEveryTimeoutIsItsOwn(t *testing.T) {
	cfg := config.Ladder{KillTimeout: 1, OwnerTimeout: 2, StopTimeout: 3, AbortFuse: "user"}
	want := lifecycle.Times(1, 2, 3)
	complete(t, cfg, want)
	if got := timeouts(cfg); got != want || got.Kill != 1 || got.Owner != 2 || got.Stop != 3 {
		t.Errorf("the ladder has %+v, want %+v", got, want)
	}
}

// GitHub Actions kills a cancelled job's processes 7.5 s after it asked them to
// end: by then all must be over.
func TestDefaultLadderFitsIntoACancelledJob(t *testing.T) {
	l := timeouts(config.Default().Ladder)
	if total := l.Kill + l.Owner + 2*l.OwnerTerm + l.Stop + l.CgroupKill + l.Survivors + l.Helpers; total >= 7500*time.Millisecond {
		t.Errorf("all rungs together may take %v", total)
	}
}

// TestAbandonedBuildsAreEndedButByPolicyReport: a trial harms nothing, and nothing
// else is a trial.
func TestAbandonedBuildsAreEndedButByPolicyReport(t *testing.T) {
	cfg := config.Policy{Abandoned: config.AbandonedReport, MaxRuntime: time.Hour}
	want := watch.Policy{Report: true, MaxRuntime: time.Hour}
	complete(t, cfg, want)
	if got := policy(cfg); got != want {
		t.Errorf("report: %+v", got)
	}
	if got := policy(config.Policy{Abandoned: config.AbandonedEnd}); got != (watch.Policy{}) {
		t.Errorf("end: %+v", got)
	}
	if got := policy(config.Default().Policy); got != (watch.Policy{}) {
		t.Errorf("by default: %+v", got)
	}
}

// TestStalledBuildsAreEndedOnlyByPolicyKill.
func TestStalledBuildsAreEndedOnlyByPolicyKill(t *testing.T) {
	cfg := config.Stalled{After: 1, Policy: "kill", KillAfter: 2}
	want := watch.Stalled{After: 1, KillAfter: 2}
	complete(t, cfg, want)
	if got := stalled(cfg); got != want {
		t.Errorf("kill: %+v", got)
	}
	cfg.Policy = "report"
	if got := stalled(cfg); got != (watch.Stalled{After: 1}) {
		t.Errorf("report: %+v", got)
	}
	if got := stalled(config.Default().Stalled); got.After == 0 || got.KillAfter != 0 {
		t.Errorf("by default: %+v", got)
	}
}

func TestStatusLineCountsBuilds(t *testing.T) {
	for line, count := range map[string]map[api.State]int{
		"STATUS=0 builds":          nil,
		"STATUS=3 builds":          {api.StateRunning: 2, api.StateKilling: 1},
		"STATUS=3 builds, 1 stuck": {api.StateRunning: 2, api.StateStuck: 1},
	} {
		if got := status(count, ""); got != line {
			t.Errorf("%v: %q, want %q", count, got, line)
		}
	}
}

// TestSignsOfLifeComeTwiceAsOftenAsAsked by systemd; where it asks for none, they
// are not for this process.
func TestSignsOfLifeComeTwiceAsOftenAsAsked(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "30000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	if got := watchdogInterval(); got != 15*time.Second {
		t.Errorf("every %v", got)
	}
	t.Setenv("WATCHDOG_PID", "1")
	if got := watchdogInterval(); got != 0 {
		t.Errorf("another's: every %v", got)
	}
}

// makeAll makes both sockets, as for a daemon that was started by hand.
func makeAll(t *testing.T) (sockets, string, string) {
	t.Helper()
	dir := t.TempDir()
	runtime, control := filepath.Join(dir, "made", "runtime.sock"), filepath.Join(dir, "made", "control.sock")
	s, err := makeSockets(runtime, control)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.runtime.Close(); s.control.Close() })
	return s, runtime, control
}

// TestSecondDaemonDoesNotTakeTheFirstOnesSockets; what a dead one has left is replaced.
func TestSecondDaemonDoesNotTakeTheFirstOnesSockets(t *testing.T) {
	s, runtime, control := makeAll(t)
	for _, path := range []string{runtime, control} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o666 {
			t.Errorf("%s: %v, %v; every user must reach it", path, info.Mode(), err)
		}
	}
	if again, err := makeSockets(runtime, control); err == nil {
		t.Error("a second daemon has taken the sockets")
		again.runtime.Close()
		again.control.Close()
	}
	s.runtime.SetUnlinkOnClose(false)
	s.control.SetUnlinkOnClose(false)
	s.runtime.Close()
	s.control.Close()
	again, err := makeSockets(runtime, control)
	if err != nil {
		t.Fatal(err)
	}
	again.runtime.Close()
	again.control.Close()
}

// TestSocketsFromSystemdAreToldByTheirKinds, and both must be there. They stay when
// the daemon goes.
func TestSocketsFromSystemdAreToldByTheirKinds(t *testing.T) {
	s, runtime, control := makeAll(t)
	got, err := passedSockets([]net.Listener{s.control, s.runtime})
	if err != nil || got.runtime != s.runtime || got.control != s.control || !got.passed {
		t.Errorf("told as %+v, %v", got, err)
	}
	for name, passed := range map[string][]net.Listener{
		"one is missing": {s.control}, "the other is missing": {s.runtime}, "one is of another kind": {s.control, s.runtime, nil},
	} {
		if _, err := passedSockets(passed); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	s.runtime.Close()
	s.control.Close()
	for _, path := range []string{runtime, control} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("systemd's socket is gone: %v", err)
		}
	}
}

// TestDaemonThatCannotWorkTurnsEverybodyAway at once, and says why.
func TestDaemonThatCannotWorkTurnsEverybodyAway(t *testing.T) {
	s, runtime, control := makeAll(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- turnAway(ctx, s, "unknown key") }()

	wrapper, err := net.Dial("unixpacket", runtime)
	if err != nil {
		t.Fatal(err)
	}
	defer wrapper.Close()
	_ = wrapper.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := wrapper.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a wrapper hears %v", err)
	}

	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", control)
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get("http://buildwatch" + api.PathBuilds)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var refusal api.Error
	if err := json.NewDecoder(response.Body).Decode(&refusal); err != nil || response.StatusCode != http.StatusServiceUnavailable ||
		refusal.Code != api.CodeInternal || !strings.Contains(refusal.Message, "unknown key") {
		t.Errorf("buildwatchctl hears %s, %+v, %v", response.Status, refusal, err)
	}

	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended by %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end")
	}
}
