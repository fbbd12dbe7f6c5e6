package daemon

import (
	"strconv"
	"testing"

	"github.com/buildwatch/buildwatch/internal/config"
	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

// TestBoundsAreThoseOfTheDocs: docs/security.md, "What all users share".
func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	one, all := strconv.Itoa(config.Default().Limits.ConnectionsPerUser), strconv.Itoa(connections)
	sharetest.Row(t, "connections to each socket", one, all, all)
}
