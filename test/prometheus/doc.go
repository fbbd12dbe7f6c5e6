// Package prometheus tries what is in dist/prometheus with a real Prometheus, which must be
// installed: it scrapes the daemon's own metrics while builds are counted, and is asked all
// that the dashboard asks. It touches nothing else of the host.
package prometheus
