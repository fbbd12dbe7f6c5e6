// Package metrics counts what the daemon does and serves the figures to
// Prometheus. It owns the metrics' names, labels and meaning and the HTTP
// server that shows them; it reads builds when it is asked and changes nothing.
//
// Everybody on the host can read metrics, and the containers of some builds
// too. So label values come from closed sets only: no user, UID, PID, build ID,
// image, path or command. Every known label set exists from the start, with 0.
package metrics

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/buildwatch/buildwatch/api"
)

// Options is what the metrics depend on.
type Options struct {
	Version  string // of the program
	Revision string // of its source
	// Builds returns the builds of this moment; it is called at every scrape
	// and must not wait for anything.
	Builds func() []api.BuildHead
	// Survivors is how many processes stuck builds have; likewise.
	Survivors func() map[api.WaitKind]int
	// Usage returns what builds use that are there; likewise.
	Usage func() Usage
	// Swept is when all processes of the host were last looked at; the zero time for never,
	// and so is nil.
	Swept func() time.Time
	// What the policy does with abandoned and with stalled builds.
	Abandoned, Stalled string
	// Ready reports whether the daemon serves requests; nil means that it does.
	Ready func() bool
	// DBusMethods are the calls to systemd that may be reported.
	DBusMethods []string
	// PlacementCauses are the reasons for which a container may not be placed.
	PlacementCauses []string
	// APIVerbs are the requests of the control API that may be reported.
	APIVerbs []string
	// HungReads returns how many reads of other processes are under way, and so may
	// hang; nil means none.
	HungReads func() int
	// ConfigGood reports whether all configuration files are good; nil means that they are.
	ConfigGood func() bool
	// ConfigLoaded is when the configuration in force was taken from files that were good;
	// nil, and the zero time, for never.
	ConfigLoaded func() time.Time
}

// Usage is what the builds use that are there.
type Usage struct {
	Processes map[string]int // by architecture
	Memory    uint64
	CPU       map[api.Mode]time.Duration // so far
}

// Metrics is the daemon's metrics. Its methods are safe for concurrent use and
// never wait.
type Metrics struct {
	registry *prometheus.Registry
	ready    func() bool

	buildsStarted     *counters
	buildsEnded       *counters
	buildsStalled     prometheus.Counter
	shortages         *counters
	abandonedReported *counters
	buildDuration     *histograms
	cancelDuration    *histograms
	rungDuration      *histograms
	rungTimeouts      *counters
	fuseAborts        prometheus.Counter
	stuckDuration     prometheus.Histogram
	placements        prometheus.Counter
	placementFailures *counters
	placementDuration prometheus.Histogram
	dbusDuration      *histograms
	dbusFailures      *counters
	dbusConnects      prometheus.Counter
	apiRequests       *counters
	apiFailures       *counters

	processesKilled *counters
	survivors       *counters
	cpuSeconds      *spent
	oomKills        prometheus.Counter
	reclaimed       *counters
	reclaimedBytes  prometheus.Counter
	reclaimDuration prometheus.Histogram
	reclaimFailures prometheus.Counter
}

// New makes the metrics, all at 0, in a registry of their own.
func New(o Options) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		ready:    o.Ready,

		buildsStarted: newCounters("builds_started_total", "builds first seen", "mode", words(api.Modes())),
		buildsEnded:   newCounters("builds_ended_total", "builds gone", "reason", words(api.Reasons())),
		buildsStalled: newCounter("builds_stalled_total", "times that a build was called stalled"),
		shortages:     newCounters("shortages_total", "times that builds were short of it: out of memory, no more tasks", "resource", words(api.Resources())),
		abandonedReported: newCounters("abandoned_reported_total", "not ended, by [policy] abandoned = report",
			"reason", words(api.ReportedReasons())),
		buildDuration: newHistograms("build_duration_seconds", "first RUN step to gone",
			buildBuckets, "mode", words(api.Modes())),
		cancelDuration: newHistograms("cancel_duration_seconds", "fact known to last process gone",
			cancelBuckets, "reason", words(cancelReasons())),
		rungDuration: newHistograms("ladder_rung_duration_seconds", "time in a rung; _count = uses",
			rungBuckets, "rung", words(api.Rungs())),
		rungTimeouts:      newCounters("ladder_rung_timeouts_total", "ran out of time", "rung", words(api.Rungs())),
		fuseAborts:        newCounter("fuse_aborts_total", "FUSE connections aborted for survivors"),
		stuckDuration:     newHistogram("stuck_duration_seconds", "of stuck builds, stuck to gone", buildBuckets),
		placements:        newCounter("placements_total", "wrapper's requests"),
		placementFailures: newCounters("placement_failures_total", "fail-open as far as the daemon knows", "cause", o.PlacementCauses),
		placementDuration: newHistogram("placement_duration_seconds", "request to answer", placementBuckets),
		dbusDuration: newHistograms("dbus_request_duration_seconds", "calls incl. awaited jobs",
			dbusBuckets, "method", o.DBusMethods),
		dbusFailures: newCounters("dbus_request_failures_total", "error or timeout", "method", o.DBusMethods),
		dbusConnects: newCounter("dbus_connects_total", "2 = never lost: one to start with, one to end with"),
		apiRequests:  newCounters("api_requests_total", "control socket", "verb", o.APIVerbs),
		apiFailures:  newCounters("api_request_failures_total", "control socket", "verb", o.APIVerbs),

		processesKilled: newCounters("processes_killed_total", "processes that were there when a build's end was begun", "arch", arches),
		survivors:       newCounters("survivors_total", "processes that outlived SIGKILL, by the file system that they waited for then", "wait", words(api.WaitKinds())),
		cpuSeconds:      &spent{ended: map[api.Mode]float64{}, shown: map[api.Mode]float64{}},
		oomKills:        newCounter("oom_kills_total", "processes killed by the kernel for lack of memory, of builds that are gone"),
		reclaimed:       newCounters("reclaim_items_total", "containers, bundles, request directories that dead builds had left", "outcome", []string{outcomeRemoved, outcomeKept}),
		reclaimedBytes:  newCounter("reclaimed_bytes_total", "on the disk, given back"),
		reclaimDuration: newHistogram("reclaim_duration_seconds", "one dead build's, start of the helper to its answer", reclaimBuckets),
		reclaimFailures: newCounter("reclaim_failures_total", "helpers that did not do all, or did not answer"),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        prefix + "build_info",
		Help:        "1; about the program",
		ConstLabels: prometheus.Labels{"version": o.Version, "revision": o.Revision, "goversion": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(
		info, newBuildsCollector(o, m.cpuSeconds), policyInfo(o.Abandoned, o.Stalled),
		timestamp("config_last_reload_success_timestamp_seconds", "when the files were last good and loaded; 0 for never", o.ConfigLoaded),
		m.processesKilled, m.survivors, m.oomKills, timestamp("last_sweep_timestamp_seconds", "when all processes of the host were last looked at, for builds that nobody has told of; 0 for never", o.Swept),
		m.buildsStarted, m.buildsEnded, m.buildsStalled, m.shortages, m.abandonedReported, m.buildDuration, m.cancelDuration,
		m.rungDuration, m.rungTimeouts, m.fuseAborts, m.stuckDuration, hungReads(o.HungReads), configGood(o.ConfigGood),
		m.placements, m.placementFailures, m.placementDuration,
		m.dbusDuration, m.dbusFailures, m.dbusConnects,
		m.apiRequests, m.apiFailures,
		m.reclaimed, m.reclaimedBytes, m.reclaimDuration, m.reclaimFailures,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// BuildStarted counts a build that was seen for the first time.
func (m *Metrics) BuildStarted(mode api.Mode) { m.buildsStarted.inc(string(mode)) }

// AbandonedReported counts a build that would have been ended, for that reason.
func (m *Metrics) AbandonedReported(reason api.Reason) { m.abandonedReported.inc(string(reason)) }

// BuildEnded counts a build that is gone: lived is the time since its first RUN
// step, cancel that since the fact that ended it was known; 0 for a build that
// nobody has ended.
func (m *Metrics) BuildEnded(reason api.Reason, mode api.Mode, lived, cancel time.Duration) {
	m.buildsEnded.inc(string(reason))
	m.buildDuration.observe(string(mode), lived)
	if !reason.ByItself() && cancel > 0 {
		m.cancelDuration.observe(string(reason), cancel)
	}
}

// Gone counts what a build that is gone has used, and what was ended of it.
func (m *Metrics) Gone(e api.Ended) {
	for arch, n := range e.ProcessesEnded {
		m.processesKilled.WithLabelValues(within(arches, arch)).Add(float64(n))
	}
	m.cpuSeconds.add(e.Mode, e.CPUSeconds)
	m.oomKills.Add(float64(e.OOMKills))
}

// Short counts that the kernel did not give a build what it wanted.
func (m *Metrics) Short(of api.Resource) { m.shortages.inc(string(of)) }

// BuildStalled counts a build that was called stalled.
func (m *Metrics) BuildStalled() { m.buildsStalled.Inc() }

// RungUsed counts a rung of the kill ladder that was used.
func (m *Metrics) RungUsed(used api.UsedRung) {
	m.rungDuration.observe(string(used.Rung), time.Duration(used.Duration))
	if used.TimedOut {
		m.rungTimeouts.inc(string(used.Rung))
	}
}

// Freed counts a FUSE connection that was aborted because survivors waited for it.
func (m *Metrics) Freed() { m.fuseAborts.Inc() }

// Stuck counts processes that outlived SIGKILL, by what they wait for.
func (m *Metrics) Stuck(survivors map[api.WaitKind]int) {
	for kind, n := range survivors {
		m.survivors.WithLabelValues(string(kind)).Add(float64(max(0, n)))
	}
}

// Unstuck counts a stuck build that is gone, after so long.
func (m *Metrics) Unstuck(after time.Duration) { m.stuckDuration.Observe(after.Seconds()) }

// Placement counts an answered request of the wrapper: took is the time from
// request to answer, cause is "" if it succeeded.
func (m *Metrics) Placement(took time.Duration, cause string) {
	m.placements.Inc()
	m.placementDuration.Observe(took.Seconds())
	if cause != "" {
		m.placementFailures.inc(cause)
	}
}

// DBusRequest counts a call to systemd, whose job was waited for too; err is
// nil if it succeeded.
func (m *Metrics) DBusRequest(method string, took time.Duration, err error) {
	m.dbusDuration.observe(method, took)
	if err != nil {
		m.dbusFailures.inc(method)
	}
}

// DBusConnected counts a new connection to systemd.
func (m *Metrics) DBusConnected() { m.dbusConnects.Inc() }

// APIRequest counts an answered request on the control socket.
func (m *Metrics) APIRequest(verb string, failed bool) {
	m.apiRequests.inc(verb)
	if failed {
		m.apiFailures.inc(verb)
	}
}

// Outcomes of what a dead build has left in storage.
const (
	outcomeRemoved = "removed"
	outcomeKept    = "kept"
)

// Reclaimed counts what a helper has removed of a dead build's, and what it has left.
func (m *Metrics) Reclaimed(removed, left int, bytes int64, took time.Duration, err error) {
	m.reclaimed.add(outcomeRemoved, removed)
	m.reclaimed.add(outcomeKept, left)
	m.reclaimedBytes.Add(float64(bytes))
	m.reclaimDuration.Observe(took.Seconds())
	if err != nil {
		m.reclaimFailures.Inc()
	}
}

func hungReads(now func() int) prometheus.Collector {
	opts := prometheus.GaugeOpts{Name: prefix + "proc_reads", Help: "reads of other processes under way; one that stays hangs"}
	return prometheus.NewGaugeFunc(opts, func() float64 {
		if now == nil {
			return 0
		}
		return float64(now())
	})
}

func configGood(now func() bool) prometheus.Collector {
	opts := prometheus.GaugeOpts{Name: prefix + "config_last_reload_successful", Help: "0: a file is bad, an earlier configuration is in force"}
	return prometheus.NewGaugeFunc(opts, func() float64 {
		if now == nil || now() {
			return 1
		}
		return 0
	})
}

// timestamp is a gauge of a point in time.
func timestamp(name, help string, when func() time.Time) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help}, func() float64 {
		if when == nil || when().IsZero() {
			return 0
		}
		return float64(when().UnixMilli()) / 1000
	})
}

func policyInfo(abandoned, stalled string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: prefix + "policy_info", Help: "1; what is done with abandoned and with stalled builds",
		ConstLabels: prometheus.Labels{"abandoned": abandoned, "stalled": stalled},
	})
	info.Set(1)
	return info
}

// cancelReasons is every reason but those of builds that nobody cancelled.
func cancelReasons() (reasons []api.Reason) {
	for _, r := range api.Reasons() {
		if !r.ByItself() {
			reasons = append(reasons, r)
		}
	}
	return reasons
}

func words[T ~string](values []T) []string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = string(v)
	}
	return words
}
