package daemon

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/metrics"
)

// serveMetrics serves them until ctx ends. That it can't, because an address is taken, say,
// is no reason to leave builds alone.
func serveMetrics(ctx context.Context, cfg config.Metrics, sockets sockets, counters *metrics.Metrics, log logrus.FieldLogger) {
	passed := make([]net.Listener, len(sockets.metrics))
	for i, l := range sockets.metrics {
		passed[i] = l
	}
	failed := func(err error) { log.WithError(err).Error("Metrics are not served") }
	if !awaitWebConfig(ctx, cfg.WebConfig, webConfigPause, failed) {
		return
	}
	if cfg.WebConfig == "" && slices.ContainsFunc(passed, beyondLoopback) {
		log.Warn("Metrics are served to other hosts, to everybody and unencrypted: metrics.web_config is not set")
	}
	counters.Serve(ctx, metrics.Where{Listen: cfg.Listen, Passed: passed, WebConfig: cfg.WebConfig}, failed)
}

// webConfigPause lies between two looks at a file that is bad: nobody loads the daemon's own
// configuration anew when a certificate has come.
const webConfigPause = 10 * time.Second

// awaitWebConfig waits until the file is good: metrics are never served without what is to
// protect them. It reports whether it is, and not that ctx has ended.
func awaitWebConfig(ctx context.Context, path string, pause time.Duration, failed func(error)) bool {
	said := ""
	for {
		err := checkWebConfig(path)
		if err == nil {
			return true
		}
		if err.Error() != said {
			failed(err)
			said = err.Error()
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
	}
}

// checkWebConfig returns what is wrong with a file of exporter-toolkit's.
func checkWebConfig(path string) error {
	if path == "" {
		return nil
	}
	if err := config.Trusted(path); err != nil {
		return err
	}
	return web.Validate(path)
}

// beyondLoopback reports whether other hosts may reach the socket.
func beyondLoopback(l net.Listener) bool {
	addr, ok := l.Addr().(*net.TCPAddr)
	return ok && !addr.IP.IsLoopback()
}
