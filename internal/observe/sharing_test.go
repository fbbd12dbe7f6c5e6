package observe

import (
	"testing"

	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

// TestBoundsAreThoseOfTheDocs: docs/security.md, "What all users share".
func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	sharetest.Documented(t, "processes held of builds that did not come through the wrapper", holds)
	sharetest.Documented(t, "programs that build and are not installed as podman and buildah are, of which the kernel tells when they are executed", watched)
}
