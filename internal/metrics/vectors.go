package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/buildwatch/buildwatch/api"
)

const (
	prefix = "buildwatch_"
	// other stands for a label value that is not in its set. It can't occur but
	// by a mistake in this program, and then must not make a new series each.
	other = "other"
)

// arches are the architectures that builds are emulated for, as qemu calls them, and
// that of those which are not.
var arches = []string{api.NativeArch, "aarch64", "arm", "i386", "ppc64le", "riscv64", "s390x", "x86_64", other}

// Upper bounds of the classic buckets, in seconds. Prometheus takes the native
// ones where it can.
var (
	buildBuckets     = []float64{1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800}
	cancelBuckets    = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	rungBuckets      = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	placementBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}
	reclaimBuckets   = []float64{.025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	dbusBuckets      = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// counters is a counter with one label of a closed set.
type counters struct {
	*prometheus.CounterVec
	values []string
}

func newCounters(name, help, label string, values []string) *counters {
	c := &counters{
		CounterVec: prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, []string{label}),
		values:     values,
	}
	for _, v := range values {
		c.WithLabelValues(v)
	}
	return c
}

func (c *counters) add(value string, n int) {
	c.WithLabelValues(within(c.values, value)).Add(float64(n))
}

func (c *counters) inc(value string) { c.WithLabelValues(within(c.values, value)).Inc() }

// histograms is a histogram with one label of a closed set.
type histograms struct {
	*prometheus.HistogramVec
	values []string
}

func newHistograms(name, help string, buckets []float64, label string, values []string) *histograms {
	h := &histograms{
		HistogramVec: prometheus.NewHistogramVec(histogramOpts(name, help, buckets), []string{label}),
		values:       values,
	}
	for _, v := range values {
		h.WithLabelValues(v)
	}
	return h
}

func (h *histograms) observe(value string, d time.Duration) {
	h.WithLabelValues(within(h.values, value)).Observe(d.Seconds())
}

func newCounter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
}

func newHistogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(histogramOpts(name, help, buckets))
}

// histogramOpts asks for native buckets beside the classic ones: they travel in
// the protobuf format only, so a server without it still gets the classic ones.
func histogramOpts(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name:                        prefix + name,
		Help:                        help,
		Buckets:                     buckets,
		NativeHistogramBucketFactor: 1.1,
		// Eight buckets for each power of two: enough for 1 ms to 60 s, and a
		// bound to the memory that odd values can take.
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

func within(values []string, value string) string {
	if slices.Contains(values, value) {
		return value
	}
	return other
}
