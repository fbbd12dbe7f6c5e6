package metrics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"github.com/buildwatch/buildwatch/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the packages control and scopes report.
var (
	testVerbs   = []string{"list", "show", "stop", "plan", "watch", "run", "info", "config"}
	testMethods = []string{"StartTransientUnit", "KillUnit", "StopUnit", "GetAll", "StartUnit"}
	testCauses  = []string{"refused", "systemd", "cgroup", "timeout", "bad_request", "outside"}
)

func newMetrics(builds ...api.BuildHead) *Metrics {
	return New(Options{
		Version: "1.2.3", Revision: "abcdef",
		Builds:    func() []api.BuildHead { return builds },
		Survivors: func() map[api.WaitKind]int { return nil },
		Usage:     func() Usage { return Usage{} },
		Abandoned: "end", Stalled: "report",
		DBusMethods: testMethods,
		APIVerbs:    testVerbs,

		PlacementCauses: testCauses,
	})
}

// gather returns the metrics of this program, by name.
func gather(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := make(map[string]*dto.MetricFamily)
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), prefix) {
			ours[f.GetName()] = f
		}
	}
	return ours
}

// values returns each series with its value, or its count if it is a histogram.
func values(t *testing.T, m *Metrics, name string) map[string]float64 {
	t.Helper()
	values := make(map[string]float64)
	for _, metric := range gather(t, m)[prefix+name].GetMetric() {
		var labels []string
		for _, l := range metric.GetLabel() {
			labels = append(labels, l.GetValue())
		}
		value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		values[strings.Join(labels, ",")] = value
	}
	return values
}

// expect compares the series that are not 0.
func expect(t *testing.T, m *Metrics, name string, want map[string]float64) {
	t.Helper()
	got := values(t, m, name)
	for series, value := range got {
		if value == 0 {
			delete(got, series)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is %v, want %v", name, got, want)
	}
}

func TestExpositionIsClean(t *testing.T) {
	m := newMetrics()
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// placedAndObserved gives each state both placements.
func placedAndObserved(states ...string) (series []string) {
	for _, state := range states {
		series = append(series, "scope,"+state, "observed,"+state)
	}
	return series
}

func TestEveryKnownSeriesExistsFromTheStart(t *testing.T) {
	m := newMetrics()
	modes := []string{"local", "api", "run", "unknown"}
	rungs := []string{"kill", "owner", "stop", "cgroup_kill", "survivors", "helpers"}
	methods, verbs := testMethods, testVerbs
	want := map[string][]string{
		// Labels in alphabetical order: placement, state.
		"builds":                                       placedAndObserved("running", "stalled", "unsure", "abandoned", "terminating", "killing", "stuck"),
		"builds_started_total":                         modes,
		"builds_ended_total":                           {"completed", "owner_exited", "client_disconnected", "stopped", "deadline", "stalled", "out_of_memory", "out_of_tasks"},
		"shortages_total":                              {"memory", "tasks"},
		"builds_stalled_total":                         {""},
		"abandoned_reported_total":                     {"owner_exited", "client_disconnected", "deadline", "stalled"},
		"build_duration_seconds":                       modes,
		"cancel_duration_seconds":                      {"owner_exited", "client_disconnected", "stopped", "deadline", "stalled"},
		"ladder_rung_duration_seconds":                 rungs,
		"ladder_rung_timeouts_total":                   rungs,
		"fuse_aborts_total":                            {""},
		"stuck_duration_seconds":                       {""},
		"survivors":                                    {"fuse", "nfs", "other"},
		"survivors_total":                              {"fuse", "nfs", "other"},
		"processes":                                    {"native", "aarch64", "arm", "i386", "ppc64le", "riscv64", "s390x", "x86_64", "other"},
		"last_sweep_timestamp_seconds":                 {""},
		"memory_bytes":                                 {""},
		"processes_killed_total":                       {"native", "aarch64", "arm", "i386", "ppc64le", "riscv64", "s390x", "x86_64", "other"},
		"cpu_seconds_total":                            modes,
		"oom_kills_total":                              {""},
		"config_last_reload_success_timestamp_seconds": {""},
		"proc_reads":                                   {""},
		"placements_total":                             {""},
		"placement_failures_total":                     {"refused", "systemd", "cgroup", "timeout", "bad_request", "outside"},
		"placement_duration_seconds":                   {""},
		"dbus_request_duration_seconds":                methods,
		"dbus_request_failures_total":                  methods,
		"dbus_connects_total":                          {""},
		"api_requests_total":                           verbs,
		"api_request_failures_total":                   verbs,
		"reclaim_items_total":                          {"removed", "kept"},
		"reclaimed_bytes_total":                        {""},
		"reclaim_duration_seconds":                     {""},
		"reclaim_failures_total":                       {""},
	}
	for name, series := range want {
		got := values(t, m, name)
		if len(got) != len(series) {
			t.Errorf("%s has %v, want %v", name, got, series)
		}
		for _, s := range series {
			if value, ok := got[s]; !ok || value != 0 {
				t.Errorf("%s{%s} is %v (there: %v), want 0", name, s, value, ok)
			}
		}
	}
	if good := values(t, m, "config_last_reload_successful"); good[""] != 1 {
		t.Errorf("a configuration of which nothing is said is %v", good)
	}
	for name := range gather(t, m) {
		if name = strings.TrimPrefix(name, prefix); want[name] == nil && name != "build_info" && name != "config_last_reload_successful" && name != "policy_info" {
			t.Errorf("%s is not expected", name)
		}
	}
}

func TestBuildInfo(t *testing.T) {
	labels := make(map[string]string)
	info := gather(t, newMetrics())[prefix+"build_info"].GetMetric()[0]
	for _, l := range info.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	if info.GetGauge().GetValue() != 1 || labels["version"] != "1.2.3" || labels["revision"] != "abcdef" || !strings.HasPrefix(labels["goversion"], "go") {
		t.Errorf("got %v", info)
	}
}

func TestHistogramsHaveNativeBucketsToo(t *testing.T) {
	m := newMetrics()
	m.Placement(time.Millisecond, "")
	h := gather(t, m)[prefix+"placement_duration_seconds"].GetMetric()[0].GetHistogram()
	if len(h.GetBucket()) != len(placementBuckets) || len(h.GetPositiveSpan()) == 0 {
		t.Errorf("got %v", h)
	}
}

func TestBuildsAreCountedAtEachScrape(t *testing.T) {
	builds := []api.BuildHead{
		{State: api.StateRunning, Placement: api.PlacementScope},
		{State: api.StateRunning, Placement: api.PlacementScope},
		{State: api.StateStuck, Placement: api.PlacementScope},
		{State: api.StateGone, Placement: api.PlacementScope},
		{State: "forged", Placement: "anywhere"},
	}
	m := New(Options{
		Builds:    func() []api.BuildHead { return builds },
		Survivors: func() map[api.WaitKind]int { return map[api.WaitKind]int{api.WaitFuse: 7} },
		Usage: func() Usage {
			return Usage{Processes: map[string]int{"native": 2, "aarch64": 3, "vax": 4}, Memory: 1 << 20, CPU: map[api.Mode]time.Duration{api.ModeAPI: 2 * time.Second}}
		},
	})
	expect(t, m, "processes", map[string]float64{"native": 2, "aarch64": 3, "other": 4})
	expect(t, m, "memory_bytes", map[string]float64{"": 1 << 20})
	expect(t, m, "builds", map[string]float64{"scope,running": 2, "scope,stuck": 1})
	expect(t, m, "survivors", map[string]float64{"fuse": 7})
	builds = nil
	expect(t, m, "builds", map[string]float64{})
}

// TestCPUTimeOfLiveAndEndedBuildsNeverGoesBack: between a build's end and its being counted
// it is in neither part.
func TestCPUTimeOfLiveAndEndedBuildsNeverGoesBack(t *testing.T) {
	live := map[api.Mode]time.Duration{}
	m := New(Options{
		Builds: func() []api.BuildHead { return nil }, Survivors: func() map[api.WaitKind]int { return nil },
		Usage: func() Usage { return Usage{CPU: live} },
	})
	is := func(want float64) {
		t.Helper()
		expect(t, m, "cpu_seconds_total", map[string]float64{"run": want})
	}
	live[api.ModeRun] = 5 * time.Second
	is(5)
	delete(live, api.ModeRun)
	is(5)
	m.Gone(api.Ended{Mode: api.ModeRun, CPUSeconds: 6})
	is(6)
	live[api.ModeRun] = time.Second
	is(7)
}

// TestWhatIsGoneIsCounted: what a build has used is added up when it is gone, so that
// no counter ever goes back.
func TestWhatIsGoneIsCounted(t *testing.T) {
	m := newMetrics()
	m.Gone(api.Ended{
		Mode: api.ModeAPI, CPUSeconds: 1.5, OOMKills: 3,
		ProcessesEnded: map[string]int{"aarch64": 5, "native": 1, "hppa": 1, "forged\n": 1},
	})
	m.Gone(api.Ended{Mode: api.ModeAPI, CPUSeconds: 1, ProcessesEnded: map[string]int{"aarch64": 1}})
	expect(t, m, "cpu_seconds_total", map[string]float64{"api": 2.5})
	expect(t, m, "oom_kills_total", map[string]float64{"": 3})
	expect(t, m, "processes_killed_total", map[string]float64{"aarch64": 6, "native": 1, "other": 2})
}

// TestSurvivorsAreCountedByWhatTheyWaitFor when their build is stuck, not when it is gone: that may never be.
func TestSurvivorsAreCountedByWhatTheyWaitFor(t *testing.T) {
	m := newMetrics()
	m.Stuck(map[api.WaitKind]int{api.WaitFuse: 2, api.WaitOther: 0})
	m.Stuck(map[api.WaitKind]int{api.WaitFuse: 1, api.WaitNFS: 1})
	expect(t, m, "survivors_total", map[string]float64{"fuse": 3, "nfs": 1})
}

func TestWhatTheDaemonReportsIsCounted(t *testing.T) {
	m := newMetrics()
	m.BuildStarted(api.ModeLocal)
	m.BuildStarted(api.ModeAPI)
	m.BuildEnded(api.ReasonCompleted, api.ModeLocal, time.Minute, 0)
	m.BuildEnded(api.ReasonStopped, api.ModeLocal, time.Minute, time.Millisecond)
	m.BuildStalled()
	m.Short(api.ResourceMemory)
	m.AbandonedReported(api.ReasonDeadline)
	m.BuildEnded(api.ReasonDeadline, api.ModeLocal, time.Minute, 0) // by itself, in the end
	m.RungUsed(api.UsedRung{Rung: api.RungKill, Duration: api.Seconds(time.Millisecond)})
	m.RungUsed(api.UsedRung{Rung: api.RungStop, Duration: api.Seconds(time.Second), TimedOut: true})
	m.Placement(time.Millisecond, "")
	m.Placement(time.Second, "timeout")
	m.DBusConnected()
	m.DBusRequest("StopUnit", time.Second, nil)
	m.DBusRequest("KillUnit", time.Second, errors.New("no"))
	m.APIRequest("list", false)
	m.APIRequest("stop", true)
	for name, want := range map[string]map[string]float64{
		"builds_started_total":          {"local": 1, "api": 1},
		"builds_ended_total":            {"completed": 1, "stopped": 1, "deadline": 1},
		"abandoned_reported_total":      {"deadline": 1},
		"build_duration_seconds":        {"local": 3},
		"builds_stalled_total":          {"": 1},
		"shortages_total":               {"memory": 1},
		"cancel_duration_seconds":       {"stopped": 1},
		"ladder_rung_duration_seconds":  {"kill": 1, "stop": 1},
		"ladder_rung_timeouts_total":    {"stop": 1},
		"placements_total":              {"": 2},
		"placement_failures_total":      {"timeout": 1},
		"placement_duration_seconds":    {"": 2},
		"dbus_request_duration_seconds": {"StopUnit": 1, "KillUnit": 1},
		"dbus_request_failures_total":   {"KillUnit": 1},
		"dbus_connects_total":           {"": 1},
		"api_requests_total":            {"list": 1, "stop": 1},
		"api_request_failures_total":    {"stop": 1},
	} {
		expect(t, m, name, want)
	}
}

func TestUnknownLabelValuesShareOneSeries(t *testing.T) {
	m := newMetrics()
	for i := range 1000 {
		word := fmt.Sprint("word", i)
		m.BuildStarted(api.Mode(word))
		m.BuildEnded(api.Reason(word), api.Mode(word), 0, 0)
		m.AbandonedReported(api.Reason(word))
		m.RungUsed(api.UsedRung{Rung: api.Rung(word), TimedOut: true})
		m.Placement(0, word)
		m.DBusRequest(word, 0, errors.New(word))
		m.APIRequest(word, true)
	}
	for name, family := range gather(t, m) {
		if n := len(family.GetMetric()); n > 14 { // builds: 7 states by 2 placements
			t.Errorf("%s has %d series", name, n)
		}
	}
	expect(t, m, "api_requests_total", map[string]float64{"other": 1000})
}

func TestBucketsCoverWhatTheyShould(t *testing.T) {
	for name, test := range map[string]struct{ buckets, want []float64 }{
		"build, 1 s to 8 h":      {buildBuckets, []float64{1, 8 * 3600}},
		"cancel, 5 ms to 60 s":   {cancelBuckets, []float64{.005, 60}},
		"rung, 1 ms to 60 s":     {rungBuckets, []float64{.001, 60}},
		"placement, 1 ms to 1 s": {placementBuckets, []float64{.001, 1}},
		"D-Bus, 1 ms to 10 s":    {dbusBuckets, []float64{.001, 10}},
	} {
		if !slices.IsSorted(test.buckets) || test.buckets[0] != test.want[0] || test.buckets[len(test.buckets)-1] != test.want[1] {
			t.Errorf("%s: %v", name, test.buckets)
		}
	}
}

// TestMetricsAreNamedAsPrometheusWants, by the rules of `promtool check metrics`,
// whose linter this is.
func TestMetricsAreNamedAsPrometheusWants(t *testing.T) {
	m := newMetrics(api.BuildHead{State: api.StateRunning})
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestWhatWasReclaimedIsCounted(t *testing.T) {
	m := newMetrics()
	m.Reclaimed(5, 1, 4096, time.Second, nil)
	m.Reclaimed(0, 0, 0, time.Second, errors.New("no answer"))
	expect(t, m, "reclaim_items_total", map[string]float64{"removed": 5, "kept": 1})
	expect(t, m, "reclaimed_bytes_total", map[string]float64{"": 4096})
	expect(t, m, "reclaim_duration_seconds", map[string]float64{"": 2})
	expect(t, m, "reclaim_failures_total", map[string]float64{"": 1})
}
