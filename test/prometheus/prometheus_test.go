//go:build prometheus

package prometheus

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/metrics"
)

// run counts builds: some that complete, twenty that are cancelled, one that is stuck, one
// that is stalled, one that goes round the wrapper.
func run(m *metrics.Metrics) {
	for range 20 {
		m.BuildStarted(api.ModeLocal)
		m.Placement(3*time.Millisecond, "")
		m.DBusRequest("StartTransientUnit", 2*time.Millisecond, nil)
		m.RungUsed(api.UsedRung{Rung: api.RungKill, Duration: api.Seconds(4 * time.Millisecond)})
		m.BuildEnded(api.ReasonOwnerExited, api.ModeLocal, time.Minute, 20*time.Millisecond)
		m.Gone(api.Ended{Mode: api.ModeLocal, CPUSeconds: 3, ProcessesEnded: map[string]int{"aarch64": 5, "native": 1}})
	}
	m.Placement(time.Second, "timeout")
	m.BuildStalled()
	m.Freed()
}

// start has a Prometheus scrape while builds are counted.
func start(t *testing.T, run func(*metrics.Metrics)) (address string) {
	t.Helper()
	m := metrics.New(metrics.Options{
		Version: "1.2.3", Abandoned: "end", Stalled: "report",
		Builds: func() []api.BuildHead {
			return []api.BuildHead{
				{State: api.StateRunning, Placement: api.PlacementScope},
				{State: api.StateStuck, Placement: api.PlacementScope},
				{State: api.StateStalled, Placement: api.PlacementScope},
				{State: api.StateRunning, Placement: api.PlacementObserved},
			}
		},
		Survivors: func() map[api.WaitKind]int { return map[api.WaitKind]int{api.WaitFuse: 2} },
		Usage: func() metrics.Usage {
			return metrics.Usage{Processes: map[string]int{"aarch64": 10, "native": 2}, Memory: 1 << 30, CPU: map[api.Mode]time.Duration{api.ModeLocal: time.Minute}}
		},
		Swept:       time.Now,
		DBusMethods: []string{"StartTransientUnit"}, PlacementCauses: []string{"timeout"}, APIVerbs: []string{"list"},
	})
	daemon := httptest.NewServer(m.Handler())
	t.Cleanup(daemon.Close)
	dir := t.TempDir()
	listener := httptest.NewServer(nil) // for a port that is free
	address = listener.Listener.Addr().String()
	listener.Close()
	server, err := Server(dir, dist, strings.TrimPrefix(daemon.URL, "http://"), address)
	if err != nil {
		t.Fatal(err)
	}
	server.Stderr = t.Output()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	// Two scrapes before and two after what is counted: a rate has two points.
	scrapes := `count_over_time(buildwatch_build_info{job="buildwatch"}[1m]) >= `
	await(t, address, scrapes+"2")
	run(m)
	await(t, address, scrapes+"5")
	return address
}

func await(t *testing.T, address, query string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		n, err := Ask(address, query)
		if n > 0 && err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d series, %v", query, n, err)
		}
	}
}

const dist = "../../dist/prometheus"

func readDashboard(t *testing.T) Board {
	t.Helper()
	b, err := ReadBoard(dist)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDashboardShowsSomethingInEachPanel: no query is wrong, and none is empty.
func TestDashboardShowsSomethingInEachPanel(t *testing.T) {
	d := readDashboard(t)
	address := start(t, run)
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			query := Variables("1m").Replace(target.Expr)
			n, err := Ask(address, query)
			if n == 0 || err != nil {
				t.Errorf("%q: %s has %d series: %v", panel.Title, query, n, err)
			}
		}
	}
	for _, record := range []string{
		"instance_state:buildwatch_builds:sum", "instance_reason:buildwatch_builds_ended:rate5m",
		"instance:buildwatch_placement_failures:ratio_rate15m", "instance:buildwatch_cancel_duration_seconds:p99_30m",
	} {
		await(t, address, record)
	}
	await(t, address, `ALERTS{alertname="BuildwatchBuildStuck", alertstate="pending"}`)
}
