package watch

import (
	gobuild "go/build"
	"slices"
	"strings"
	"testing"
)

// TestImportsKeepToTheLayers: what looks at processes, and what acts on them, is others'.
// See docs/architecture.md.
func TestImportsKeepToTheLayers(t *testing.T) {
	const project = "github.com/buildwatch/buildwatch/"
	pkg, err := gobuild.ImportDir(".", 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := slices.DeleteFunc(pkg.Imports, func(path string) bool { return !strings.HasPrefix(path, project) })
	if want := []string{"api", "internal/lifecycle", "internal/owners", "internal/processes"}; !slices.EqualFunc(ours, want,
		func(a, b string) bool { return a == project+b }) {
		t.Errorf("%v are imported, want %v of %s", ours, want, project)
	}
}
