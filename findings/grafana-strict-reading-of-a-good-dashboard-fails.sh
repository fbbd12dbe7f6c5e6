#!/bin/bash
# github.com/grafana/grafana-foundation-sdk/go v0.0.22
#
# Dashboard.UnmarshalJSONStrict of a dashboard that the library itself has built and written, with one panel, returns an
# error that is not nil: its text is empty. A field that the schema does not have gives one with a text.
#
# One would have guessed nil: `if err != nil` refuses every good dashboard, and says nothing about why.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
gomod github.com/grafana/grafana-foundation-sdk/go@v0.0.22
cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/text"
)

func main() {
	plugins.RegisterDefaultPlugins()
	built, err := dashboard.NewDashboardBuilder("title").WithPanel(text.NewPanelBuilder().Title("panel").Content("x")).Build()
	if err != nil {
		panic(err)
	}
	good, err := json.Marshal(built)
	if err != nil {
		panic(err)
	}
	bad := strings.Replace(string(good), "{", `{"colour":"red",`, 1)
	for _, document := range []string{string(good), bad} {
		var d dashboard.Dashboard
		err := d.UnmarshalJSONStrict([]byte(document))
		fmt.Println(d.Validate() == nil, err == nil, err)
	}
}
GO
gorun >"$work/seen"
{ read -r good; read -r bad; } <"$work/seen"
claim "what the library itself has made: valid, no error, its text" "true false" "$good"
claim "the same with a field of no schema" "true false Dashboard: unexpected field 'colour'" "$bad"
