package api_test

import (
	"fmt"

	"github.com/buildwatch/buildwatch/api"
)

// Words have meanings that a program can show, and only those of this version.
func ExampleState_Meaning() {
	for _, s := range []api.State{api.StateTerminating, "of a later version"} {
		fmt.Printf("%s: %q\n", s, s.Meaning())
	}
	// Output:
	// terminating: "its containers were killed; an owner that lives may tidy up"
	// of a later version: ""
}
