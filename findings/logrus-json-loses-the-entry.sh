#!/bin/bash
# github.com/sirupsen/logrus v1.10.2
#
# With the JSONFormatter one field that JSON has no form for (a ratio that is NaN, since nothing was counted yet) loses the whole
# entry: neither its message nor its other fields are written anywhere, at whatever level. Standard error has a line that
# names neither. Hooks get the entry, and Fatal still exits, without a word. A list of errors is written as [{}].
#
# One would have guessed that the one field is left out or written as text, as by the TextFormatter: for functions and channels the
# library does so, with a field logrus_error that says it. A program that logs to a terminal in development and JSON
# in production loses entries there alone.
#
# Seen: as in the claims at the end; on standard error "Failed to format entry: failed to marshal fields to JSON, json:
# unsupported value: NaN".
. "$(dirname "$0")/lib.bash"
gomod github.com/sirupsen/logrus@v1.10.2
cat >main.go <<'GO'
package main

import (
	"errors"
	"math"
	"os"

	"github.com/sirupsen/logrus"
)

func main() {
	for _, formatter := range []logrus.Formatter{
		&logrus.TextFormatter{DisableTimestamp: true},
		&logrus.JSONFormatter{DisableTimestamp: true},
	} {
		log := logrus.New()
		log.SetOutput(os.Stdout)
		log.SetFormatter(formatter)
		log.WithField("ratio", math.NaN()).Error("disk full")
		log.WithField("f", func() {}).Error("disk full")
		log.WithField("all", []error{errors.New("one")}).Error("disk full")
	}
	log := logrus.New()
	log.SetOutput(os.Stdout)
	log.SetFormatter(&logrus.JSONFormatter{})
	log.WithField("ratio", math.NaN()).Fatal("disk full")
}
GO
status=0
gorun >"$work/seen" 2>"$work/stderr" || status=$?
{ read -r text; read -r _; read -r list; read -r function; read -r json; } <"$work/seen"
claim "as text" 'level=error msg="disk full" ratio=NaN' "$text"
claim "a list of errors as text" 'level=error msg="disk full" all="[one]"' "$list"
claim "a function as JSON" '{"level":"error","logrus_error":"skipping unsupported field \"f\"","msg":"disk full"}' "$function"
claim "a list of errors as JSON" '{"all":[{}],"level":"error","msg":"disk full"}' "$json"
claim "lines in all, of 7 entries; status of Fatal" "5 1" "$(wc -l <"$work/seen") $status"
claim "standard error names the message" no "$(grep -q full "$work/stderr" && echo yes || echo no)"
