//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

const (
	rootSocket = "/run/podman/podman.sock"
	// eventStream holds a service, as Podman Desktop does.
	eventStream = "curl -sN --unix-socket %s http://d/v4.0.0/libpod/events?stream=true"
)

// serveAPI starts root's API service, by socket activation, and ends it after
// the test.
func serveAPI(t *testing.T) {
	t.Helper()
	sh(t, "rm -rf /var/tmp/libpod_builder*; systemctl start podman.socket") // of services that earlier tests have killed
	t.Cleanup(func() {
		sh(t, "systemctl stop podman.socket podman.service")
		removeWorking(t)
		sh(t, "rm -rf /var/tmp/buildah* /var/tmp/libpod_builder* /run/crun/buildah-*")
	})
}

// holdService keeps another connection to the service open until the test's end.
func holdService(t *testing.T, socket string) {
	t.Helper()
	cmd := exec.Command("bash", "-c", "exec "+fmt.Sprintf(eventStream, socket))
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, func() (string, bool) {
		out := sh(t, "ss -xH state established src %s", socket)
		return "no connection to the service", out != ""
	})
}

// startRemote starts a build through root's service.
func startRemote(t *testing.T, instructions string, args ...string) *build {
	t.Helper()
	return startPodman(t, instructions, append([]string{"--remote", "build"}, args...)...)
}

// listedAs waits until the list shows as many builds, each with n processes or
// more, all of the API.
func listedAs(t *testing.T, builds, n int) []api.Build {
	t.Helper()
	var all []api.Build
	eventually(t, func() (string, bool) {
		all = listed(t)
		ok := len(all) == builds
		for _, view := range all {
			ok = ok && view.Processes >= n && view.Mode == api.ModeAPI
		}
		return fmt.Sprintf("want %d builds with %d processes: %+v", builds, n, all), ok
	})
	return all
}

// tidied waits until the living service has removed its working containers.
func tidied(t *testing.T) {
	t.Helper()
	eventually(t, func() (string, bool) {
		left := sh(t, "podman ps --all --external --quiet; ls -d /var/tmp/buildah* /var/tmp/libpod_builder* 2>/dev/null || true")
		return "the service has left " + left, left == ""
	})
}

// TestAPIBuildIsEndedWhenItsClientIsGone: also while the service lives on for
// others; and the service tidies up after its step.
func TestAPIBuildIsEndedWhenItsClientIsGone(t *testing.T) {
	for _, held := range []bool{false, true} {
		t.Run(fmt.Sprintf("held=%v", held), func(t *testing.T) {
			leakCheck(t)
			serveAPI(t)
			if held {
				holdService(t, rootSocket)
			}
			b := startRemote(t, family)
			view := listedAs(t, 1, familySize)[0]
			if view.State != api.StateRunning || view.Owner.Command != "podman system service" {
				t.Errorf("listed as %+v", view)
			}
			processes := hold(t, view)
			ended := metric(t, `buildwatch_builds_ended_total{reason="client_disconnected"}`)
			started := time.Now()
			_ = b.cmd.Process.Kill()
			allGone(t, processes)
			if took := time.Since(started); took > soon(time.Second) {
				t.Errorf("gone after %v", took)
			} else {
				t.Logf("gone after %v", took)
			}
			eventually(t, func() (string, bool) {
				now := metric(t, `buildwatch_builds_ended_total{reason="client_disconnected"}`)
				return "no end for this reason was counted", now != ended
			})
			if held {
				tidied(t)
			}
		})
	}
}

// TestDirectoriesOfKilledServicesHideNoRequest: podman leaves them, and nobody removes
// them.
func TestDirectoriesOfKilledServicesHideNoRequest(t *testing.T) {
	leakCheck(t)
	serveAPI(t)
	holdService(t, rootSocket)
	sh(t, "for i in $(seq 1000 1040); do mkdir -p /var/tmp/libpod_builder$i/build; printf 'FROM scratch\\nRUN echo of old\\n' >/var/tmp/libpod_builder$i/build/Containerfile; done")
	b := startRemote(t, family)
	processes := hold(t, listedAs(t, 1, familySize)[0])
	_ = b.cmd.Process.Kill()
	allGone(t, processes)
	sh(t, "rm -r /var/tmp/libpod_builder10*")
	tidied(t)
}

// TestOneOfTwoAPIBuildsIsCancelled: that one ends, the other completes with its
// content whole.
func TestOneOfTwoAPIBuildsIsCancelled(t *testing.T) {
	leakCheck(t)
	serveAPI(t)
	wanted := startRemote(t, ticks+"RUN echo end >> /ticks\n", "--tag", "wanted")
	listedAs(t, 1, 1)
	unwanted := startRemote(t, family)
	builds := listedAs(t, 2, 1)
	processes := hold(t, builds[1])
	_ = unwanted.cmd.Process.Kill()
	allGone(t, processes)
	wanted.succeed()
	if got := fileInImage(t, "wanted", "ticks"); got != allTicks+"end\n" {
		t.Errorf("the image has the ticks %q", got)
	}
	tidied(t)
	sh(t, "podman rmi --force wanted")
}

// TestAPIBuildOutlivesACleaner of /var/tmp: one witness is not enough.
func TestAPIBuildOutlivesACleaner(t *testing.T) {
	leakCheck(t)
	serveAPI(t)
	b := startRemote(t, ticks, "--tag", "cleaned")
	listedAs(t, 1, 1)
	sh(t, "rm -rf /var/tmp/libpod_builder*")
	eventually(t, func() (string, bool) {
		all := listed(t)
		return fmt.Sprintf("not unsure: %+v", all), len(all) == 1 && all[0].State == api.StateUnsure
	})
	b.succeed()
	if got := fileInImage(t, "cleaned", "ticks"); got != allTicks {
		t.Errorf("the image has the ticks %q", got)
	}
	sh(t, "podman rmi --force cleaned")
}

// TestStopOfAnAPIBuild ends one build of a service, which tidies up and lives on.
func TestStopOfAnAPIBuild(t *testing.T) {
	leakCheck(t)
	serveAPI(t)
	holdService(t, rootSocket)
	b := startRemote(t, family)
	view := listedAs(t, 1, familySize)[0]
	service := sh(t, "systemctl show -P MainPID podman.service")
	sh(t, "%s stop %s", ctl, view.ID)
	if code := b.wait(); code == 0 {
		t.Error("the client reports success")
	}
	tidied(t)
	if now := sh(t, "systemctl show -P MainPID podman.service"); now != service {
		t.Errorf("the service was %s, now it is %s", service, now)
	}
}

// TestDaemonRestartedDuringAnAPIBuild: it knows the request again.
func TestDaemonRestartedDuringAnAPIBuild(t *testing.T) {
	leakCheck(t)
	serveAPI(t)
	holdService(t, rootSocket)
	b := startRemote(t, family)
	before := listedAs(t, 1, familySize)[0]
	processes := hold(t, before)
	sh(t, "systemctl kill --signal=KILL buildwatchd.service")
	startDaemon(t)
	after := listedAs(t, 1, familySize)[0]
	if after.ID != before.ID || after.State != api.StateRunning {
		t.Errorf("before the restart %+v, after it %+v", before, after)
	}
	_ = b.cmd.Process.Kill()
	allGone(t, processes)
}

// TestDockerBuildIsEndedWhenItsClientIsGone: POST /build, as Docker's clients and
// Podman Desktop send it. Without forcerm, Docker's own rule would keep the working
// container of a step that failed.
func TestDockerBuildIsEndedWhenItsClientIsGone(t *testing.T) {
	leakCheck(t)
	serveAPI(t)
	holdService(t, rootSocket)
	dir := contextDir(t, family)
	must(t, os.Rename(filepath.Join(dir, "Containerfile"), filepath.Join(dir, "Dockerfile")))
	sh(t, "tar -C %s -cf %s.tar .", dir, dir)
	client := exec.Command("curl", "-sN", "--unix-socket", rootSocket, "-X", "POST", "-H", "Content-Type: application/x-tar",
		"--data-binary", "@"+dir+".tar", "http://d/v1.41/build?platform="+strings.ReplaceAll(arch64, "/", "%2F")+"&networkmode=none&nocache=1&forcerm=1")
	must(t, client.Start())
	t.Cleanup(func() { _ = client.Process.Kill(); _ = client.Wait() })
	processes := hold(t, listedAs(t, 1, familySize)[0])
	_ = client.Process.Kill()
	allGone(t, processes)
	tidied(t)
}
