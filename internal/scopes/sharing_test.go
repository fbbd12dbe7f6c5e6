package scopes

import (
	"testing"

	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

// TestBoundsAreThoseOfTheDocs: docs/security.md, "What all users share".
func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	sharetest.Documented(t, "scopes that systemd starts at the same time", starts)
	sharetest.Documented(t, "units that systemd kills or stops at the same time", ends)
}
