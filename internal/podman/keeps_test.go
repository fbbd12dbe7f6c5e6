package podman

import (
	"strings"
	"testing"
)

func TestWhoAsksForWorkingContainersKeepsThem(t *testing.T) {
	for line, want := range map[string]bool{
		"podman build .":                                           false,
		"podman build --rm .":                                      false,
		"podman build --rm=true .":                                 false,
		"podman build --rm=1 --force-rm=T .":                       false,
		"podman build --rm=false .":                                true,
		"buildah bud --rm=0 .":                                     true,
		"podman build --force-rm=FALSE .":                          true,
		"podman build --rm=what .":                                 true,
		"podman build --rmi=false .":                               false,
		"podman build --build-arg a=" + strings.Repeat("x", 4<<10): true, // not read to its end
	} {
		if got := KeepsContainers(strings.Fields(line)); got != want {
			t.Errorf("%.60s: %v", line, got)
		}
	}
}
