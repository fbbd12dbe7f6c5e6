package watch

import (
	"strconv"
	"testing"

	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

// TestBoundsAreThoseOfTheDocs: docs/security.md, "What all users share".
func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	events := strconv.Itoa(queueLength)
	sharetest.Row(t, "events that wait for one reader", events, events, events)
}
