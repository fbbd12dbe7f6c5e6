package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/buildwatch/buildwatch/api"
)

var (
	buildsDesc    = prometheus.NewDesc(prefix+"builds", "builds now", []string{"state", "placement"}, nil)
	survivorsDesc = prometheus.NewDesc(prefix+"survivors", "processes of stuck builds, by the file system that they wait for", []string{"wait"}, nil)
	processesDesc = prometheus.NewDesc(prefix+"processes", "processes of builds now, by the architecture that was emulated at the last look", []string{"arch"}, nil)
	memoryDesc    = prometheus.NewDesc(prefix+"memory_bytes", "memory of the scopes of builds", nil, nil)
	cpuDesc       = prometheus.NewDesc(prefix+"cpu_seconds_total", "CPU time of all builds, ended ones included", []string{"mode"}, nil)
)

// buildsCollector counts the builds when it is asked, so that the figures
// can't drift away from the list that `buildwatchctl list` shows.
type buildsCollector struct {
	builds    func() []api.BuildHead
	survivors func() map[api.WaitKind]int
	usage     func() Usage
	cpu       *spent
}

func newBuildsCollector(o Options, cpu *spent) buildsCollector {
	return buildsCollector{o.Builds, o.Survivors, o.Usage, cpu}
}

func (buildsCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- buildsDesc
	descs <- survivorsDesc
	descs <- processesDesc
	descs <- memoryDesc
	descs <- cpuDesc
}

func (c buildsCollector) Collect(metrics chan<- prometheus.Metric) {
	type kind struct {
		state     api.State
		placement api.Placement
	}
	count := make(map[kind]int)
	for _, b := range c.builds() {
		count[kind{b.State, b.Placement}]++
	}
	survivors := c.survivors()
	for _, kind := range api.WaitKinds() {
		metrics <- prometheus.MustNewConstMetric(survivorsDesc, prometheus.GaugeValue, float64(survivors[kind]), string(kind))
	}
	c.collectUsage(metrics)
	for _, state := range api.States() {
		if state == api.StateGone {
			continue
		}
		for _, placement := range api.Placements() {
			n := float64(count[kind{state, placement}])
			metrics <- prometheus.MustNewConstMetric(buildsDesc, prometheus.GaugeValue, n, string(state), string(placement))
		}
	}
}

func (c buildsCollector) collectUsage(metrics chan<- prometheus.Metric) {
	used := c.usage()
	metrics <- prometheus.MustNewConstMetric(memoryDesc, prometheus.GaugeValue, float64(used.Memory))
	byArch := map[string]int{}
	for arch, n := range used.Processes {
		byArch[within(arches, arch)] += n
	}
	for _, arch := range arches {
		metrics <- prometheus.MustNewConstMetric(processesDesc, prometheus.GaugeValue, float64(byArch[arch]), arch)
	}
	seconds := c.cpu.with(used.CPU)
	for _, mode := range api.Modes() {
		metrics <- prometheus.MustNewConstMetric(cpuDesc, prometheus.CounterValue, seconds[mode], string(mode))
	}
}

// spent is the CPU time that builds have used, those that are there included. A build that is
// about to be counted as ended is in neither part for a moment: a counter never goes back, so
// what was shown stands until it is passed.
type spent struct {
	mu           sync.Mutex // lock order: 1
	ended, shown map[api.Mode]float64
}

func (s *spent) add(mode api.Mode, seconds float64) {
	if !slices.Contains(api.Modes(), mode) {
		mode = api.ModeUnknown
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[mode] += max(0, seconds)
}

// with is all of it, with what live builds have used.
func (s *spent) with(live map[api.Mode]time.Duration) map[api.Mode]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[api.Mode]float64, len(api.Modes()))
	for _, mode := range api.Modes() {
		s.shown[mode] = max(s.shown[mode], s.ended[mode]+live[mode].Seconds())
		all[mode] = s.shown[mode]
	}
	return all
}
