package metrics

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "write the table that is made from the registry")

const docFile = "../../docs/metrics.md"

func TestDocumentationHasEveryMetric(t *testing.T) {
	const begin, end = "<!-- metrics -->\n", "<!-- /metrics -->\n"
	data, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the metrics between %q and %q", docFile, begin, end)
	}
	if want := table(gather(t, newMetrics())); got != want {
		if *update {
			if err := os.WriteFile(docFile, []byte(before+begin+want+end+after), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Errorf("%s is not what the registry has: go test ./internal/metrics -update\n%s", docFile, want)
	}
}

// table returns the metrics as a Markdown table.
func table(families map[string]*dto.MetricFamily) string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | meaning |\n|--|--|--|--|\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), labels(f), f.GetHelp())
	}
	return b.String()
}

// labels returns a family's labels, with their values where these are a closed set.
func labels(f *dto.MetricFamily) string {
	var names []string
	values := make(map[string][]string)
	for _, metric := range f.GetMetric() {
		for _, l := range metric.GetLabel() {
			name := l.GetName()
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			if !slices.Contains(values[name], l.GetValue()) {
				values[name] = append(values[name], l.GetValue())
			}
		}
	}
	if len(names) == 0 {
		return "–"
	}
	for i, name := range names {
		names[i] = "`" + name + "`"
		if f.GetName() != prefix+"build_info" {
			names[i] += " (" + strings.Join(values[name], ", ") + ")"
		}
	}
	return strings.Join(names, ", ")
}
