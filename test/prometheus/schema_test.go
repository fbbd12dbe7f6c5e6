//go:build prometheus

package prometheus

import (
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestDashboardIsGrafanas by Grafana's own schema: no field that it does not know, and each
// panel's and query's options are those of its kind.
func TestDashboardIsGrafanas(t *testing.T) {
	text, err := os.ReadFile("../../dist/prometheus/dashboards/buildwatch.json")
	if err != nil {
		t.Fatal(err)
	}
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard
	// An error without a text is none: a list of them that is empty.
	if err := d.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		t.Error(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	if len(d.Panels) == 0 {
		t.Error("no panel")
	}
}
