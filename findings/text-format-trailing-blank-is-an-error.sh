#!/bin/bash
# github.com/prometheus/common v0.72.0 (expfmt.TextParser); compared with Debian's
# python3-prometheus-client 0.16.0-0.1
#
# A blank behind a sample's value makes TextParser return an error for the page: it takes the empty rest of
# the line for a timestamp. The text format's description says that leading and trailing whitespace of a line
# is ignored, and the parser does ignore blanks before the name and between the tokens. pushgateway and
# node_exporter's textfile collector read pages with it; shell scripts write such lines easily.
#
# One would have guessed that the format's own library, written by those who described it, takes a line that
# Python's parser and an eye take for the same.
#
# Seen: 'text format parsing error in line 1: expected integer as timestamp, got ""'.
. "$(dirname "$0")/lib.bash"
need python3 apt-get dpkg-deb
gomod github.com/prometheus/common@v0.72.0
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func main() {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(os.Stdin)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(families["jobs"].GetMetric()[0].GetUntyped().GetValue())
}
GO
(
	cd "$work" && apt-get -q -o APT::Sandbox::User=root download python3-prometheus-client=0.16.0-0.1
) >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
dpkg-deb -x "$work"/python3-prometheus-client_*.deb "$work/deb"
python() {
	PYTHONPATH=$work/deb/usr/lib/python3/dist-packages python3 -c '
import sys
from prometheus_client.parser import text_string_to_metric_families
print(*[int(s.value) for f in text_string_to_metric_families(sys.stdin.read()) for s in f.samples])'
}
claim "expfmt, blanks before and between" 1 "$(printf '  jobs  1\n' | gorun)"
claim "Python, a blank at the end" 1 "$(printf 'jobs 1 \n' | python)"
claim "expfmt, a blank at the end" 'text format parsing error in line 1: expected integer as timestamp, got ""' \
	"$(printf 'jobs 1 \n' | gorun)"
