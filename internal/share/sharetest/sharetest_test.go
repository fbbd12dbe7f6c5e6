package sharetest

import (
	"slices"
	"strings"
	"testing"
)

// TestEveryRowIsCompared: a row has a test in the package whose bound it is.
func TestEveryRowIsCompared(t *testing.T) {
	compared := []string{
		"connections to each socket", // daemon
		"builds",                     // watch
		"reads of processes' memory (command lines, environments)", // proc
		"looks at what threads wait in",                            // stall
		"scopes that systemd starts at the same time",              // scopes
		"units that systemd kills or stops at the same time",
		"processes held of builds that did not come through the wrapper", // observe
		"programs that build and are not installed as podman and buildah are, of which the kernel tells when they are executed",
		"events that wait for one reader", // watch
		"dead builds whose leavings in storage are not yet removed",
		"helpers that remove what dead builds have left", // reclaim
		"files that are written about what builds use in storage",
		"builds that wait for the unit of `on_end.start`", // hook
		"entries in the journal about a user's builds",    // logging
		"connections to the metrics",                      // metrics
	}
	var rows []string
	for _, row := range Rows(t) {
		what, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " | ")
		rows = append(rows, what)
	}
	if !slices.Equal(rows, compared) {
		t.Errorf("the table has the rows %q, compared are %q", rows, compared)
	}
}
