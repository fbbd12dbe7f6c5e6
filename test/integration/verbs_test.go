//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// TestBuildsOfAFarmAndOfQuadletLeaveNothing: the farm has one node, root's own service, and this
// host; the unit is a user's, and is stopped. Where podman has neither, it is built by a verb's
// other name.
func TestBuildsOfAFarmAndOfQuadletLeaveNothing(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	t.Cleanup(func() { core.tidy(t) })
	if _, err := try("podman farm list"); err != nil {
		endsWith(t, startBuildBy(t, "podman buildx build", native(t, family)), "podman buildx build", "kill -KILL %d")
		return
	}
	serveAPI(t)
	sh(t, "podman system connection add local unix://%s && podman farm create farm local", rootSocket)
	t.Cleanup(func() { sh(t, "podman farm remove farm; podman system connection remove local") })
	endsWith(t, startBuildBy(t, "podman --log-level=error farm build --farm farm --tag localhost/of/farm", native(t, family)), "podman farm build", "kill -KILL %d")

	const units = "/home/core/.config/containers/systemd"
	unit := filepath.Join(units, "quad.build")
	sh(t, "runuser -u core -- mkdir -p %s", units)
	dir := native(t, family)
	// A user's unit would wait for a network that the machine has not.
	write(t, unit, "[Quadlet]\nDefaultDependencies=false\n[Build]\nImageTag=localhost/quad\nNetwork=none\nSetWorkingDirectory="+dir+"\n")
	sh(t, "%s daemon-reload", core.systemctl())
	t.Cleanup(func() {
		must(t, os.Remove(unit))
		sh(t, "%[1]s daemon-reload; %[1]s reset-failed quad-build.service || true", core.systemctl())
	})
	sh(t, "%s start --no-block quad-build.service", core.systemctl())
	var view api.Build
	eventually(t, func() (string, bool) {
		for _, one := range listed(t) {
			if one.User.Name == string(core) && one.Processes >= familySize {
				view = one
			}
		}
		if view.ID != "" {
			return "", true
		}
		status, _ := try("%s status --no-pager --full quad-build.service; ls -lR %s %s", core.systemctl(), units, filepath.Dir(dir))
		return fmt.Sprintf("%+v\n%s", listed(t), status), false
	})
	if view.Owner.Unit != "quad-build.service" {
		t.Errorf("listed as %+v", view)
	}
	endsWith(t, view, "podman build", core.systemctl()+" stop quad-build.service; true %d")
}

// startBuildBy starts a build of root's, and waits until it is listed.
func startBuildBy(t *testing.T, line, dir string) api.Build {
	t.Helper()
	return startDetached(t, root, line+" --no-cache --network=none "+dir, familySize)
}

// endsWith ends the owner of a placed build by a command, and sees that nothing is left.
func endsWith(t *testing.T, view api.Build, command, end string) {
	t.Helper()
	if view.Placement != api.PlacementScope || view.Owner.Command != command {
		t.Errorf("listed as %+v", view)
	}
	held := hold(t, view)
	sh(t, "%s", fmt.Sprintf(end, view.Owner.PID))
	allGone(t, held)
	nothingListed(t)
}
