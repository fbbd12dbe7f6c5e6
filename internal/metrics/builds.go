package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/buildwatch/buildwatch/api"
)

var (
	buildsDesc    = prometheus.NewDesc(prefix+"builds", "builds now", []string{"state", "placement"}, nil)
	survivorsDesc = prometheus.NewDesc(prefix+"survivors", "processes of stuck builds", nil, nil)
)

// buildsCollector counts the builds when it is asked, so that the figures
// can't drift away from the list that `buildwatchctl list` shows.
type buildsCollector struct {
	builds    func() []api.BuildHead
	survivors func() int
}

func (buildsCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- buildsDesc
	descs <- survivorsDesc
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
	metrics <- prometheus.MustNewConstMetric(survivorsDesc, prometheus.GaugeValue, float64(c.survivors()))
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
