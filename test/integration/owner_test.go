//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// TestRootlessBuildahRoundTheWrapper: it builds in a user namespace, from a mount that
// nobody can reach, and no kernel ends it with the process that the user has started.
func TestRootlessBuildahRoundTheWrapper(t *testing.T) {
	for way, line := range map[string]string{
		"chroot":                 "buildah build --isolation chroot",
		"chroot, by environment": "env BUILDAH_ISOLATION=chroot buildah bud",
		"runtime by hand":        "buildah build --network=host --runtime /usr/bin/crun",
		"a program of their own": "/home/builder/own/mk build --isolation chroot",
	} {
		t.Run(way, func(t *testing.T) {
			leakCheck(t)
			tidyRootless(t)
			sh(t, "install -D --owner=builder /usr/bin/buildah /home/builder/own/mk")
			startBuildOf(t, builder, line, escapers, "")
			view := listedOf(t, builder, escapersSize)
			verb := "buildah build"
			if strings.Contains(line, " bud") {
				verb = "buildah bud"
			}
			if view.Owner.Command != verb && !strings.HasPrefix(line, "/") || view.Placement != api.PlacementObserved {
				t.Errorf("listed as %+v", view)
			}
			held := hold(t, view)
			sh(t, "kill -KILL %d", view.Owner.PID)
			allGone(t, held)
			nothingListed(t)
			if left := sh(t, "pgrep -u builder -a busybox || true; pgrep -u builder -f 'buildah-[a-z]*-runtime' -a || true"); left != "" {
				t.Errorf("left:\n%s", left)
			}
		})
	}
}

// TestServiceStartedWithFlagsBetweenTheWordsIsSpared, and a client of its that goes away
// is noticed.
func TestServiceStartedWithFlagsBetweenTheWordsIsSpared(t *testing.T) {
	for _, line := range []string{
		"podman --log-level=error system service --time=0",
		"podman system --log-level error service --time 0",
	} {
		t.Run(line, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			socket := filepath.Join(t.TempDir(), "s")
			words := append(strings.Fields(line), "unix://"+socket)
			service := exec.Command(words[0], words[1:]...)
			must(t, service.Start())
			ended := make(chan error, 1)
			go func() { ended <- service.Wait() }()
			defer func() { _ = service.Process.Kill(); <-ended }()
			eventually(t, func() (string, bool) { out, err := try("ls %s", socket); return out, err == nil })
			remote := func() *build { return startPodman(t, family, "--remote", "--url", "unix://"+socket, "build") }

			b := remote()
			view := listedAs(t, 1, familySize)[0]
			held := hold(t, view)
			if view.Owner.Command != "podman system service" {
				t.Errorf("listed as %+v", view)
			}
			sh(t, "%s stop %s", ctl, view.ID)
			allGone(t, held)
			b.wait()

			b = remote()
			held = hold(t, listedAs(t, 1, familySize)[0])
			_ = b.cmd.Process.Kill()
			allGone(t, held)
			nothingListed(t)
			select {
			case err := <-ended:
				ended <- err
				t.Errorf("the service has ended: %v", err)
			default:
			}
		})
	}
}

// TestContainerWhoseNamespaceABuildUsesIsUntouched: the build's steps are in the UTS
// namespace of a container of podman run; or in its PID namespace, whose first process is then
// given what they orphan, and that is ended with the build.
func TestContainerWhoseNamespaceABuildUsesIsUntouched(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	startBuild(t, "RUN true\n", "--tag", "sleeper").succeed()
	t.Cleanup(func() { sh(t, "podman rmi --force sleeper") })
	id := sh(t, "podman run --detach --pids-limit=0 --network=none --platform %s sleeper /bin/busybox sleep 1000 2>/dev/null", arch64)
	t.Cleanup(func() { sh(t, "podman rm --force --time 0 %s", id) })
	var pid int
	_, err := fmt.Sscan(sh(t, "podman inspect --format '{{.State.Pid}}' %s", id), &pid)
	must(t, err)
	container, err := proc.Open(pid)
	must(t, err)
	defer container.Close()
	for _, row := range []struct {
		way, namespace, step string
		processes            int
	}{{"runtime by hand", "uts", family, 1}, {"chroot", "uts", family, 1}, {"runtime by hand", "pid", escapers, escapersSize}} {
		way := row.way + ", " + row.namespace
		b := startOutside(t, row.step, row.way, "--"+row.namespace, fmt.Sprintf("/proc/%d/ns/%s", pid, row.namespace))
		view := b.supervised(row.processes)
		time.Sleep(1500 * time.Millisecond) // some looks
		held := hold(t, view)
		for _, h := range held {
			if h.PID == pid {
				t.Errorf("%s: the container is held as the build's", way)
			}
		}
		must(t, b.cmd.Process.Signal(syscall.SIGKILL))
		b.wait()
		if !container.Alive() {
			t.Fatalf("%s: the container was ended", way)
		}
		allGone(t, held)
		nothingListed(t)
		sh(t, removeCgroups)
	}
}

// application is a pod whose image is built where it is started from.
const application = `apiVersion: v1
kind: Pod
metadata: {name: application}
spec:
  hostNetwork: true
  containers:
  - {name: app, image: app, command: ["/bin/busybox", "sleep", "1000"]}
`

// startApplication runs it, and returns the process of podman.
func startApplication(t *testing.T, step string) *build {
	t.Helper()
	dir := makeApplication(t, step)
	wait := "" // 4.3 has no --wait, and ends when the application runs
	if _, err := try("podman kube play --help | grep -q -- --wait"); err == nil {
		wait = "--wait"
	}
	return startCommand(t, "bash", "-c", "cd "+dir+" && exec podman kube play --build "+wait+" pod.yaml")
}

// makeApplication makes the directory of one, and sees to it that it can run.
func makeApplication(t *testing.T, step string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must(t, exec.Command("cp", "-r", contextDir(t, step), filepath.Join(dir, "app")).Run())
	write(t, filepath.Join(dir, "pod.yaml"), application)
	t.Cleanup(func() {
		_, _ = try("podman pod rm --all --force --time 0; podman rm --all --force --time 0; buildah rm --all; podman rmi --all --force; rm -rf /var/tmp/buildah*; podman network prune --force")
	})
	// The machine has no controller for PIDs, and lower limits than podman asks for.
	const unlimited = "/etc/containers/containers.conf.d/99-unlimited.conf"
	write(t, unlimited, "[containers]\npids_limit = 0\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n")
	t.Cleanup(func() { sh(t, "rm "+unlimited) })
	return dir
}

// TestApplicationThatWasBuiltByKubePlayGoesOn: the build is over when its step is, and
// nothing of the application is ended when builds have had their time.
func TestApplicationThatWasBuiltByKubePlayGoesOn(t *testing.T) {
	leakCheck(t)
	configured(t, "[policy]\nmax_runtime = \"12s\"\n")
	began := time.Now()
	b := startApplication(t, "RUN /bin/busybox sleep 4\n")
	view := b.supervised(1)
	if view.Owner.Command != "podman kube play" {
		t.Errorf("listed as %+v", view)
	}
	var app *proc.Handle
	within(t, 4*long, func() (string, bool) {
		out, err := try("pgrep -f 'busybox sleep 1000$' | head -n 1")
		var pid int
		if _, scan := fmt.Sscan(out, &pid); err != nil || scan != nil {
			return "the application does not run: " + out + b.out.String() + sh(t, "podman ps --all; ps -ef --forest | tail -n 20"), false
		}
		app, err = proc.Open(pid)
		return "the application has ended", err == nil
	})
	defer app.Close()
	nothingListed(t)
	time.Sleep(time.Until(began.Add(16 * time.Second)))
	if !app.Alive() {
		t.Errorf("the application was ended:\n%s", b.out.String())
	}
	nothingListed(t)
}

// TestKubePlayThatIsKilledWhileItBuildsLeavesNothing of its step.
func TestKubePlayThatIsKilledWhileItBuildsLeavesNothing(t *testing.T) {
	leakCheck(t)
	b := startApplication(t, family)
	held := hold(t, b.supervised(familySize))
	must(t, b.cmd.Process.Kill())
	b.wait()
	allGone(t, held)
	nothingListed(t)
}

// TestOwnerThatIsNoBuilderAloneGetsNoSignal, not even one that does not see the end of its step
// because it is stopped: it fails by itself, when it goes on.
func TestOwnerThatIsNoBuilderAloneGetsNoSignal(t *testing.T) {
	const step = "RUN /bin/busybox sleep 1717\n"
	const factory = "/opt/imagefactory"
	rows := map[string]string{
		"kube play":          "podman kube play --build pod.yaml",
		"flags amid it":      "podman --log-level error kube play --build=true --log-driver=none pod.yaml",
		"buildah built in":   factory + " build --isolation oci --no-cache --network=none --platform " + arch64 + " app",
		"built in, round it": factory + " build --isolation chroot --no-cache --platform " + arch64 + " app",
	}
	const quadlet = "/usr/libexec/podman/quadlet"
	if _, err := os.Stat(quadlet); err == nil { // since podman 4.4
		rows["a .kube unit"] = ""
	}
	sh(t, "install -m 755 /usr/bin/buildah %s", factory)
	t.Cleanup(func() { must(t, os.Remove(factory)) })
	for name, line := range rows {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			dir := makeApplication(t, step)
			if line == "" {
				line = "systemctl start --wait application.service"
				write(t, "/etc/containers/systemd/application.kube", "[Kube]\nYaml="+dir+"/pod.yaml\nPodmanArgs=--build\nSetWorkingDirectory=yaml\n")
				t.Cleanup(func() {
					sh(t, "systemctl stop application.service; rm /etc/containers/systemd/application.kube; systemctl daemon-reload; systemctl reset-failed application.service || true")
				})
				sh(t, "systemctl daemon-reload")
			}
			b := startCommand(t, "bash", "-c", "cd "+dir+" && exec "+line)
			var view api.Build
			within(t, 4*long, func() (string, bool) {
				for _, one := range listed(t) {
					if one.Processes > 0 {
						view = one
					}
				}
				return fmt.Sprintf("%+v\n%s", listed(t), b.out.String()), view.ID != ""
			})
			owner := holdPID(t, view.Owner.PID)
			must(t, owner.Signal(syscall.SIGSTOP))
			sh(t, "%s stop %s", ctl, view.ID)
			nothingListed(t)
			if state := sh(t, "awk '/^State/ {print $2}' /proc/%d/status", owner.PID); state != "T" {
				t.Errorf("its state is %s", state)
			}
			pending, err := strconv.ParseUint(sh(t, "awk '/^ShdPnd/ {print $2}' /proc/%d/status", owner.PID), 16, 64)
			must(t, err)
			for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
				if pending&(1<<(signal-1)) != 0 {
					t.Errorf("it got %v", signal)
				}
			}
			must(t, owner.Signal(syscall.SIGCONT))
			if code := b.wait(); code == 0 || !b.cmd.ProcessState.Exited() {
				t.Errorf("it ends with %v:\n%s", b.cmd.ProcessState, b.out.String())
			}
		})
	}
}
