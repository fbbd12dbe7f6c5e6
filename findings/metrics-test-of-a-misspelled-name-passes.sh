#!/bin/bash
# github.com/prometheus/client_golang v1.25.0, package testutil
#
# The metric names that are given to GatherAndCompare or CollectAndCompare choose from what was gathered and from
# what is expected. If a name is in neither, because it is misspelled or was renamed, nothing is compared with nothing,
# and the test passes whatever the values are. So it does for an empty list of names that is not nil; without any
# names everything is compared.
#
# One would have guessed that a name which is asked for and is not there is an error, as it is for ToFloat64: a
# test that was green on the day of a renaming never fails again.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/prometheus/client_golang@v1.25.0
cat >main.go <<'GO'
package main

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func main() {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "builds", Help: "h"})
	gauge.Set(1)
	const wrong = "# HELP builds h\n# TYPE builds gauge\nbuilds 2\n"
	for _, names := range [][]string{{"builds"}, nil, {"bulids"}, {}} {
		fmt.Println(testutil.CollectAndCompare(gauge, strings.NewReader(wrong), names...) == nil)
	}
}
GO
gorun >"$work/seen"
{ read -r right; read -r none; read -r misspelled; read -r empty; } <"$work/seen"
claim "whether a wrong value passes, by its name" false "$right"
claim "without names" false "$none"
claim "by a misspelled name" true "$misspelled"
claim "by an empty list of names" true "$empty"
