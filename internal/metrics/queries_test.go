package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestQueriesNameMetricsThatExist: alerts, rules and the dashboard ask for nothing else.
func TestQueriesNameMetricsThatExist(t *testing.T) {
	names := regexp.MustCompile(`\bbuildwatch_[a-z_]+[a-z]`)
	suffix := regexp.MustCompile(`_(bucket|count|sum)$`)
	there := gather(t, newMetrics())
	files, _ := filepath.Glob("../../dist/prometheus/*/buildwatch.*")
	if len(files) != 3 {
		t.Fatalf("alerts, rules and dashboard: %q", files)
	}
	recorded := regexp.MustCompile(`[a-z_]+:buildwatch_[a-z_]+:[a-z0-9_]+`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := names.FindAllString(recorded.ReplaceAllString(string(text), ""), -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range found {
			if there[name] == nil && there[suffix.ReplaceAllString(name, "")] == nil {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
}
