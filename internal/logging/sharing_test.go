package logging

import (
	"fmt"
	"testing"

	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

// TestBoundsAreThoseOfTheDocs: docs/security.md, "What all users share".
func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	user := fmt.Sprintf("%d at once, %d in a second", quotaBurst, quotaPerSecond)
	sharetest.Row(t, "entries in the journal about a user's builds", user, "no bound", "no bound")
}
