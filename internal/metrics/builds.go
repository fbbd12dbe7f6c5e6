package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/buildwatch/buildwatch/api"
)

var (
	buildsDesc    = prometheus.NewDesc(prefix+"builds", "builds now", []string{"state", "placement"}, nil)
	survivorsDesc = prometheus.NewDesc(prefix+"survivors", "processes of stuck builds, by the file system that they wait for", []string{"wait"}, nil)
	processesDesc = prometheus.NewDesc(prefix+"processes", "processes in the scopes of builds", nil, nil)
	memoryDesc    = prometheus.NewDesc(prefix+"memory_bytes", "memory of the scopes of builds", nil, nil)
)

// buildsCollector counts the builds when it is asked, so that the figures
// can't drift away from the list that `buildwatchctl list` shows.
type buildsCollector struct {
	builds    func() []api.BuildHead
	survivors func() map[api.WaitKind]int
	usage     func() (processes int, memory uint64)
}

func (buildsCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- buildsDesc
	descs <- survivorsDesc
	descs <- processesDesc
	descs <- memoryDesc
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
	processes, memory := c.usage()
	metrics <- prometheus.MustNewConstMetric(processesDesc, prometheus.GaugeValue, float64(processes))
	metrics <- prometheus.MustNewConstMetric(memoryDesc, prometheus.GaugeValue, float64(memory))
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
