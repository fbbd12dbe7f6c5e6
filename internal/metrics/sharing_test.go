package metrics

import (
	"strconv"
	"testing"

	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

// TestBoundsAreThoseOfTheDocs: docs/security.md, "What all users share".
func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	n := strconv.Itoa(maxConnections)
	sharetest.Row(t, "connections to the metrics", n, n, n)
}
