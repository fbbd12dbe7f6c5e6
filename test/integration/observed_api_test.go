//go:build integration

package integration

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// roundTheWrapper lets API builds come round the wrapper, each way by the flags that it
// returns. The user's service must not run yet.
func roundTheWrapper(t *testing.T, way, environment string) (flags string) {
	t.Helper()
	const conf, unit = "/etc/containers/containers.conf.d/90-test.conf", "/etc/systemd/%s/podman.service.d/90-test.conf"
	if environment != "" {
		for _, manager := range []string{"system", "user"} {
			name := fmt.Sprintf(unit, manager)
			sh(t, "mkdir -p %s", filepath.Dir(name))
			write(t, name, "[Service]\nEnvironment="+environment+"\n")
			t.Cleanup(func() { sh(t, "rm -r %s; systemctl daemon-reload", filepath.Dir(name)) })
		}
		sh(t, "systemctl daemon-reload")
		builder.sh(t, "systemctl --user daemon-reload")
	}
	if way == "chroot" {
		return "--isolation chroot"
	}
	runtime := realRuntime(t)
	write(t, conf, fmt.Sprintf("[engine]\nruntime = %q\n", runtime))
	t.Cleanup(func() { sh(t, "rm %s", conf) })
	return "--network=none"
}

// startRemoteOf starts a build through the user's service.
func startRemoteOf(t *testing.T, who user, instructions, flags string) *program {
	t.Helper()
	return startBuildOf(t, who, "podman --remote --url unix://"+who.socket()+" build", instructions, flags)
}

// TestObservedAPIBuildIsEndedWhenItsClientIsGone, though no wrapper has said which
// request it belongs to, and the service lives on for others.
func TestObservedAPIBuildIsEndedWhenItsClientIsGone(t *testing.T) {
	for _, row := range []struct {
		who              user
		way, environment string
	}{
		{root, "runtime by hand", ""},
		{root, "chroot", ""},
		{root, "runtime by hand", "TMPDIR=/tmp"},
		{builder, "runtime by hand", ""},
		{builder, "chroot", "TMPDIR=/tmp"},
	} {
		t.Run(fmt.Sprintf("%s, %s, %s", row.who, row.way, row.environment), func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			sh(t, "rm -rf /var/tmp/libpod_builder* /tmp/libpod_builder*") // of services that earlier tests have killed
			flags := roundTheWrapper(t, row.way, row.environment)
			row.who.startSocket(t)
			holdService(t, row.who.socket())
			b := startRemoteOf(t, row.who, family, flags)
			view := listedOf(t, row.who, familySize)
			if view.Placement != api.PlacementObserved || view.Mode != api.ModeAPI || view.State != api.StateRunning {
				t.Errorf("listed as %+v", view)
			}
			processes := hold(t, view)
			service := row.who.service(t)
			started := time.Now()
			b.signal(t, 9)
			allGone(t, processes)
			t.Logf("gone after %v", time.Since(started))
			nothingListed(t)
			if now := row.who.service(t); len(now) == 0 || now[0] != service[0] {
				t.Errorf("the service was %v and is %v", service, now)
			}
			eventually(t, func() (string, bool) {
				left := row.who.sh(t, "podman ps --all --external --quiet; ls -d /tmp/libpod_builder* /var/tmp/libpod_builder* 2>/dev/null || true")
				return "the service has left " + left, left == ""
			})
		})
	}
}

// TestOneOfTwoObservedAPIBuildsIsCancelled: which of two requests a step belongs to its
// monitor says; the other completes.
func TestOneOfTwoObservedAPIBuildsIsCancelled(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	flags := roundTheWrapper(t, "runtime by hand", "")
	root.startSocket(t)
	unwanted := startRemoteOf(t, root, family, flags)
	processes := hold(t, listedAs(t, 1, familySize)[0])
	wanted := startRemoteOf(t, root, ticks+"RUN echo end >> /ticks\n", flags+" --tag wanted")
	t.Cleanup(func() { sh(t, "podman rmi --force --ignore wanted") })
	listedAs(t, 2, 1)
	unwanted.signal(t, 9)
	allGone(t, processes)
	if code := wanted.wait(t); code != 0 {
		t.Errorf("the other build has ended with %d: %s", code, wanted.said())
	}
	if got := fileInImage(t, "wanted", "ticks"); got != allTicks+"end\n" {
		t.Errorf("the image has the ticks %q", got)
	}
	nothingListed(t)
}
