package daemon

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/metrics"
)

// serveMetrics serves them until ctx ends. That it can't, because an address is taken, say,
// is no reason to leave builds alone.
func serveMetrics(ctx context.Context, cfg config.Metrics, sockets sockets, counters *metrics.Metrics, pause time.Duration, log logrus.FieldLogger) {
	failed := func(err error) { log.WithError(err).Error("Metrics are not served") }
	if cfg.WebConfig == "" && slices.ContainsFunc(sockets.metrics, beyondLoopback) {
		log.Warn("Metrics are served to other hosts, to everybody and unencrypted: metrics.web_config is not set")
	}
	for {
		read, _ := os.ReadFile(cfg.WebConfig)
		if !awaitWebConfig(ctx, cfg.WebConfig, pause, failed) {
			return
		}
		// The toolkit settles at the start whether it is HTTPS, and reads the rest with each request.
		serving, end := context.WithCancelCause(ctx)
		var looking sync.WaitGroup
		if cfg.WebConfig != "" {
			looking.Go(func() {
				if awaitOther(serving, cfg.WebConfig, read, pause) {
					end(errOther)
				}
			})
		}
		counters.Serve(serving, metrics.Where{Listen: cfg.Listen, Passed: again(sockets.metrics, failed), WebConfig: cfg.WebConfig}, failed)
		end(nil)
		looking.Wait()
		if !errors.Is(context.Cause(serving), errOther) {
			return
		}
		log.Info("metrics.web_config has changed: metrics are served by what it says now")
	}
}

// errOther is why a server of metrics ends to make place for another.
var errOther = errors.New("metrics.web_config has changed")

// awaitOther waits until the file has another content than was read, or is not to be trusted any
// more, and reports that, and not that ctx has ended.
func awaitOther(ctx context.Context, path string, read []byte, pause time.Duration) bool {
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, read) || config.Trusted(path) != nil {
			return true
		}
	}
}

// again are the same sockets once more, to be closed by who serves them.
func again(sockets []*net.TCPListener, failed func(error)) (all []net.Listener) {
	for _, l := range sockets {
		own, err := dup(l)
		if err != nil {
			failed(err)
			continue
		}
		all = append(all, own)
	}
	return all
}

// webConfigPause lies between two looks at the file: nobody loads the daemon's own
// configuration anew when it, or a certificate, has come.
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
func beyondLoopback(l *net.TCPListener) bool {
	addr, ok := l.Addr().(*net.TCPAddr)
	return ok && !addr.IP.IsLoopback()
}
