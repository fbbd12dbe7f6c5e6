package observe

import (
	"testing"

	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

// TestBoundsAreThoseOfTheDocs: docs/security.md, "What all users share".
func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	sharetest.Documented(t, "processes held of builds that did not come through the wrapper", holds)
}
