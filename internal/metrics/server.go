package metrics

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
)

// What one HTTP client, or a thousand slow ones, may take.
const (
	maxConnections  = 32
	maxHeaderBytes  = 8 << 10
	readTimeout     = 5 * time.Second
	writeTimeout    = 10 * time.Second
	idleTimeout     = time.Minute
	shutdownTimeout = time.Second
)

const landingPage = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>buildwatchd</title></head>
<body><h1>buildwatchd</h1><p><a href="/metrics">Metrics</a></p></body>
</html>
`

// Handler serves the metrics at /metrics, in the format that the client asks
// for, and beside them /, /-/healthy and /-/ready. It answers GET and HEAD.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		CoalesceGather:    true,
		Timeout:           readTimeout,
	}))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, landingPage)
	})
	mux.HandleFunc("/-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "buildwatchd is healthy.\n")
	})
	mux.HandleFunc("/-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if m.ready != nil && !m.ready() {
			http.Error(w, "buildwatchd is not ready.", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "buildwatchd is ready.\n")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// Where says where metrics are served, and how.
type Where struct {
	Listen []netip.AddrPort
	// Passed are sockets that systemd has made, likewise.
	Passed []net.Listener
	// WebConfig is a file of exporter-toolkit's: TLS, and passwords as bcrypt hashes. It is
	// read again with every request. "" is none.
	WebConfig string
}

// Serve serves Handler there until ctx ends, and then returns nil. What can't be served
// at one address, such as one that is taken (syscall.EADDRINUSE), is an error that failed
// gets at once; the others are served all the same, and the daemon does its work without.
// It closes the sockets that were passed.
func (m *Metrics) Serve(ctx context.Context, where Where, failed func(error)) {
	listeners := where.Passed
	for _, addr := range where.Listen {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
		if err != nil {
			failed(fmt.Errorf("serve metrics: %w", err))
			continue
		}
		listeners = append(listeners, l)
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	for _, l := range listeners {
		serving.Go(func() {
			if err := m.serve(ctx, l, where.WebConfig); err != nil {
				failed(err)
			}
		})
	}
}

// serve serves one socket. Each has a server of its own: the toolkit changes the one
// that it is given.
func (m *Metrics) serve(ctx context.Context, l net.Listener, webConfig string) error {
	defer l.Close()
	server := &http.Server{
		Handler:           m.Handler(),
		ReadTimeout:       readTimeout,
		ReadHeaderTimeout: readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// What clients do wrong is no news, and they could fill the log.
		ErrorLog:                     log.New(io.Discard, "", 0),
		DisableGeneralOptionsHandler: true,
	}
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(limit(l, maxConnections), server, &web.FlagConfig{WebConfigFile: &webConfig}, slog.New(slog.DiscardHandler))
	}()
	select {
	case err := <-served:
		_ = server.Close()
		return fmt.Errorf("serve metrics at %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if server.Shutdown(patience) != nil {
		_ = server.Close() // the patience is over
	}
	<-served // http.ErrServerClosed
	return nil
}
