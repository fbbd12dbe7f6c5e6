#!/bin/bash
# github.com/prometheus/client_golang v1.25.0, package prometheus, with common v0.72.0 (expfmt); read by
# Debian's python3-prometheus-client 0.16.0-0.1, whose OpenMetrics parser checks the standard's rules
#
# A counter whose name does not end in _total is a counter in the text format, and in OpenMetrics, which
# demands the suffix, neither renamed nor refused: its type becomes "unknown". If it has an exemplar,
# the exemplar is written too, which the standard allows for counters and buckets only; the parser
# then rejects the whole page, not this one metric. So an exemplar on one misnamed counter loses
# every metric of the program, and only for scrapers that ask for OpenMetrics.
#
# One would have guessed that the suffix is added (as for names with it, where HELP and TYPE lose it), that
# the registry refuses such a name, or that AddWithExemplar does.
#
# Seen: as in the claims at the end; the parser: "Invalid line only histogram/gaugehistogram buckets and counters
# can have exemplars".
. "$(dirname "$0")/lib.bash"
need python3 apt-get dpkg-deb
gomod github.com/prometheus/client_golang@v1.25.0 github.com/prometheus/common@v0.72.0
cat >main.go <<'GO'
package main

import (
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	registry := prometheus.NewRegistry()
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "builds", Help: "Builds."})
	jobs := prometheus.NewCounter(prometheus.CounterOpts{Name: os.Args[2], Help: "Jobs."})
	registry.MustRegister(other, jobs)
	jobs.Inc()
	if os.Args[3] == "exemplar" {
		jobs.(prometheus.ExemplarAdder).AddWithExemplar(1, prometheus.Labels{"id": "x"})
	}
	families, err := registry.Gather()
	check(err)
	format := expfmt.TypeTextPlain
	if os.Args[1] == "openmetrics" {
		format = expfmt.TypeOpenMetrics
	}
	encoder := expfmt.NewEncoder(os.Stdout, expfmt.NewFormat(format))
	for _, family := range families {
		check(encoder.Encode(family))
	}
	check(encoder.(expfmt.Closer).Close())
}
GO
(
	cd "$work" && apt-get -q -o APT::Sandbox::User=root download python3-prometheus-client=0.16.0-0.1
) >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
dpkg-deb -x "$work"/python3-prometheus-client_*.deb "$work/deb"
parsed() { # parsed NAME exemplar|plain: what the parser makes of the page
	gorun openmetrics "$@" >"$work/page"
	PYTHONPATH=$work/deb/usr/lib/python3/dist-packages python3 - "$work/page" <<'PY'
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
try:
    print(*[family.name + ":" + family.type for family in text_string_to_metric_families(open(sys.argv[1]).read())])
except ValueError as error:
    print("rejected:", str(error)[:80], file=sys.stderr)
    print("rejected")
PY
}
claim "text format, counter named jobs" "# TYPE jobs counter" "$(gorun text jobs plain | grep 'TYPE jobs')"
claim "OpenMetrics, jobs_total with an exemplar" "builds:gauge jobs:counter" "$(parsed jobs_total exemplar)"
claim "OpenMetrics, jobs" "builds:gauge jobs:unknown" "$(parsed jobs plain)"
claim "OpenMetrics, jobs with an exemplar" "rejected" "$(parsed jobs exemplar)"
