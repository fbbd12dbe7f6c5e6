package metrics

import (
	"slices"
	"testing"

	"github.com/buildwatch/buildwatch/internal/control"
	"github.com/buildwatch/buildwatch/internal/placement"
	"github.com/buildwatch/buildwatch/internal/scopes"
)

// The label values that other packages report are those that are known here.
func TestReportedSetsAreTheKnownOnes(t *testing.T) {
	for name, test := range map[string]struct{ reported, known []string }{
		"causes":  {words(placement.Causes()), testCauses},
		"verbs":   {control.Verbs(), testVerbs},
		"methods": {words(scopes.Methods()), testMethods},
	} {
		slices.Sort(test.reported)
		if !slices.Equal(test.reported, slices.Sorted(slices.Values(test.known))) {
			t.Errorf("%s: reported are %v, known are %v", name, test.reported, test.known)
		}
	}
}
