//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBadConfigurationTurnsWrappersAway: a daemon that can't start must not keep
// builds waiting, and says what is wrong.
func TestBadConfigurationTurnsWrappersAway(t *testing.T) {
	leakCheck(t)
	const dir = "/etc/buildwatch/buildwatchd.toml.d"
	must(t, os.MkdirAll(dir, 0o755))
	file := dir + "/90-bad.toml"
	must(t, os.WriteFile(file, []byte("[ladder]\nkill_timeoutt = \"1s\"\n"), 0o644))
	defer func() {
		must(t, os.Remove(file))
		sh(t, "systemctl restart buildwatchd.service")
	}()
	sh(t, "systemctl restart buildwatchd.service")
	started := time.Now()
	startBuild(t, "RUN true\nRUN true\nRUN true\n").succeed()
	took := time.Since(started)
	sh(t, "mv %s %s.away", dropIn, dropIn)
	started = time.Now()
	startBuild(t, "RUN true\nRUN true\nRUN true\n").succeed()
	without := time.Since(started)
	sh(t, "mv %s.away %s", dropIn, dropIn)
	if took > without+1500*time.Millisecond {
		t.Errorf("three steps took %v, without buildwatch %v", took, without)
	}
	mistake(t, "list", file+":2")
	if out := sh(t, "systemctl status --no-pager buildwatchd.service"); !strings.Contains(out, "Refusing all requests") {
		t.Errorf("systemctl status says\n%s", out)
	}
}

// startService starts `podman system service` under a name of its own, and a
// container that lives on.
func startService(t *testing.T) {
	t.Helper()
	sh(t, "systemd-run --quiet --unit=test-service podman system service --time=0 unix:///run/test-service.sock")
	t.Cleanup(func() { sh(t, "systemctl stop test-service.service; rm -f /run/test-service.sock") })
	eventually(t, func() (string, bool) {
		out, err := try("podman --url unix:///run/test-service.sock info")
		return out, err == nil
	})
}

// TestPodmanThatFoundTheWrapperOutlivesIt: a service and a container that were
// started with buildwatch installed go on while it is upgraded and after it was
// removed.
func TestPodmanThatFoundTheWrapperOutlivesIt(t *testing.T) {
	leakCheck(t)
	startBuild(t, "RUN true\n", "--tag", "sleeper").succeed()
	startService(t)
	const remote = "podman --url unix:///run/test-service.sock "
	dir := contextDir(t, "RUN echo done > /done\n")
	buildRemote := func(when string) {
		t.Helper()
		sh(t, remote+"build --no-cache --network=none --platform %s --tag remote %s", arch64, dir)
		if got := fileInImage(t, "remote", "done"); got != "done\n" {
			t.Errorf("%s: the image has %q", when, got)
		}
	}
	buildRemote("installed")
	sh(t, "podman run --detach --pids-limit=0 --network=none --name lives sleeper /bin/busybox sleep 1000")
	defer sh(t, "podman rm --force --ignore --time 0 lives; podman rmi --force --ignore sleeper remote")
	exec := func(when string) {
		t.Helper()
		if out := sh(t, "podman exec lives /bin/busybox echo yes"); out != "yes" {
			t.Errorf("%s: exec says %q", when, out)
		}
	}
	exec("installed")

	b := startBuild(t, ticks, "--tag", "ticks")
	b.supervised(1)
	sh(t, "make -C /src install")
	sh(t, "systemctl daemon-reload; systemctl restart buildwatchd.service")
	buildRemote("upgraded")
	sh(t, "make -C /src uninstall")
	defer func() {
		sh(t, "make -C /src install; systemctl daemon-reload; systemctl enable --now buildwatchd.socket buildwatchd.service")
	}()
	buildRemote("removed")
	exec("removed")
	b.succeed()
	if got := fileInImage(t, "ticks", "ticks"); got != allTicks {
		t.Errorf("the image has the ticks %q", got)
	}
	sh(t, "podman stop --time 0 lives")
	sh(t, "podman start lives")
	exec("started again")
	for _, gone := range []string{dropIn, ctl, libexec + "/buildwatch-runtime", "/usr/local/lib/systemd/system/buildwatchd.service", "/run/buildwatch/runtime.sock"} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	// For those who still hold the path; until the next boot.
	for _, kept := range []string{"crun", "runc"} {
		if target, err := os.Readlink(filepath.Join(libexec, kept)); err != nil || !strings.HasSuffix(target, "/"+kept) {
			t.Errorf("%s leads to %q, %v", kept, target, err)
		}
	}
}

// TestUninstallLeavesNothing where no podman runs.
func TestUninstallLeavesNothing(t *testing.T) {
	leakCheck(t)
	sh(t, "make -C /src uninstall")
	left := sh(t, "find / -xdev -name '*buildwatch*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/src*' -not -path '/usr/share/buildwatch-test*' -not -path '/opt/*' -not -path '/var/log/*' -not -path '/tmp/*' 2>/dev/null")
	sh(t, "make -C /src install; systemctl daemon-reload; systemctl enable --now buildwatchd.socket buildwatchd.service")
	if left != "" {
		t.Errorf("left:\n%s", left)
	}
}

// TestStagedInstall goes to DESTDIR and touches nothing else.
func TestStagedInstall(t *testing.T) {
	leakCheck(t)
	dir := t.TempDir()
	sh(t, "make -C /src install DESTDIR=%s PREFIX=/usr", dir)
	for _, path := range []string{
		"usr/bin/buildwatchd", "usr/bin/buildwatchctl", "usr/libexec/buildwatch/buildwatch-runtime",
		"usr/lib/systemd/system/buildwatchd.service", "usr/lib/systemd/system/buildwatchd.socket",
		"usr/share/man/man1/buildwatchctl-list.1", "usr/share/man/man8/buildwatchd.service.8",
		"usr/share/bash-completion/completions/buildwatchctl", "usr/share/zsh/site-functions/_buildwatchctl",
		"usr/share/fish/vendor_completions.d/buildwatchctl.fish",
		"etc/buildwatch/buildwatchd.toml", "etc/containers/containers.conf.d/50-buildwatch.conf",
	} {
		if _, err := os.Stat(filepath.Join(dir, path)); err != nil {
			t.Error(err)
		}
	}
	conf, err := os.ReadFile(filepath.Join(dir, "etc/containers/containers.conf.d/50-buildwatch.conf"))
	must(t, err)
	if !strings.Contains(string(conf), `"/usr/libexec/buildwatch/crun"`) || strings.Contains(string(conf), dir) {
		t.Errorf("the drop-in says\n%s", conf)
	}
	if out := sh(t, "systemd-analyze verify --man=no %s/usr/lib/systemd/system/buildwatchd.socket 2>&1 || true", dir); strings.Contains(out, "Unknown") {
		t.Errorf("systemd-analyze: %s", out)
	}
}

// maxExposure is the exposure level of the service, times ten, that systemd-analyze(1)
// may find. It weighs settings, not code: pidfd_getfd(2) counts 0.2, as all of @debug does. The
// Makefile has it too.
const maxExposure = 32

// TestUnitsAreSound by systemd's own judgement. The manual pages that they name are
// installed, but man(1) is not.
func TestUnitsAreSound(t *testing.T) {
	leakCheck(t)
	const units = "/usr/local/lib/systemd/system/buildwatchd"
	if out := sh(t, "systemd-analyze verify --man=no %[1]s.service %[1]s.socket", units); out != "" {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
	sh(t, "systemd-analyze security --no-pager --offline=yes --threshold=%d %s.service", maxExposure, units)
}
