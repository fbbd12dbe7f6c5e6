//go:build integration

package integration

import (
	"strings"
	"testing"
)

// rootCrunFails reports whether root's builds by crun fail in this machine without
// buildwatch, as described at matrix.Host. It tries: a path as runtime goes round
// the wrapper.
func rootCrunFails(t *testing.T) bool {
	t.Helper()
	b := startPodman(t, "RUN true\n", "--runtime", "/usr/bin/crun", "build")
	return b.wait() != 0 && strings.Contains(b.out.String(), memlockError)
}

// memlockError is what such a crun says.
const memlockError = "setrlimit (RLIM_MEMLOCK): Operation not permitted"

// failWithoutMemlock waits for a build by such a crun, and fails the test unless
// it fails as it does without buildwatch.
func (b *build) failWithoutMemlock() {
	b.t.Helper()
	if code := b.wait(); code == 0 || !strings.Contains(b.out.String(), memlockError) {
		b.t.Errorf("podman build exited with %d, without buildwatch it fails for RLIMIT_MEMLOCK:\n%s", code, b.out.String())
	}
}
