//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// TestTypoInTheConfigurationLeavesSupervisionOn: a reload fails and names the mistake, a
// restart takes the last good configuration; the operator is told until it is mended.
// Where no good one is known, what is over is only reported.
func TestTypoInTheConfigurationLeavesSupervisionOn(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	const file = "/etc/buildwatch/buildwatchd.toml.d/90-typo.toml"
	const good = "[policy]\nabandoned = \"report\"\n"
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	configure := func(content string) { must(t, os.WriteFile(file, []byte(content), 0o644)) }
	configure(good)
	sh(t, "systemctl reload buildwatchd.service")
	defer func() {
		must(t, os.Remove(file))
		sh(t, "systemctl restart buildwatchd.service")
		startDaemon(t)
	}()
	metricIs := func(want string) {
		t.Helper()
		eventually(t, func() (string, bool) {
			got := metric(t, "buildwatch_config_last_reload_successful")
			return "the metric is " + got, got == want
		})
	}
	told := func(stands string) {
		t.Helper()
		metricIs("0")
		if out := sh(t, "systemctl status --no-pager buildwatchd.service"); !strings.Contains(out, file+":2: ") || !strings.Contains(out, stands) {
			t.Errorf("systemctl status says\n%s", out)
		}
		if code, said := checkCode(t); code != 13 || !strings.Contains(said, file+":2: ") {
			t.Errorf("check exits with %d: %s", code, said)
		}
	}
	// reported cancels a build, which is then only reported, and ended on the user's word.
	reported := func() {
		t.Helper()
		b := startBuild(t, family)
		view := b.supervised(familySize)
		held := hold(t, view)
		must(t, b.cmd.Process.Kill())
		b.wait()
		isReported(t, view.ID, api.ReasonOwnerExited)
		sh(t, "%s stop %s", ctl, view.ID)
		allGone(t, held)
	}
	metricIs("1")
	reported()

	configure("[policy]\nabandonned = \"report\"\n")
	since := time.Now().Unix()
	if out, err := try("systemctl reload buildwatchd.service 2>&1"); err == nil {
		t.Errorf("the reload of a typo works: %s", out)
	}
	if said := sh(t, "journalctl --sync; journalctl --unit buildwatchd.service --output cat --since=@%d", since); !strings.Contains(said, file+":2: policy.abandonned") {
		t.Errorf("the journal has only\n%s", said)
	}
	told("that of before is in force")
	if is := sh(t, "systemctl is-active buildwatchd.service"); strings.TrimSpace(is) != "active" {
		t.Errorf("after a reload that failed it is %s", is)
	}
	reported()

	sh(t, "systemctl restart buildwatchd.service")
	told("the last good one is in force")
	reported()

	sh(t, "rm /var/lib/buildwatch/last-good.toml; systemctl restart buildwatchd.service")
	told("none is ended but on its user's word")
	reported()

	configure(good)
	sh(t, "systemctl reload buildwatchd.service")
	metricIs("1")
	if code, said := checkCode(t); code != 0 {
		t.Errorf("mended, check exits with %d: %s", code, said)
	}
}

// TestReloadIsKnownToSystemd: it is over when systemctl returns, the daemon is the same
// process, and where the files say the same nobody is cut off.
func TestReloadIsKnownToSystemd(t *testing.T) {
	leakCheck(t)
	const file = "/etc/buildwatch/buildwatchd.toml.d/91-reload.toml"
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	defer func() {
		_ = os.Remove(file)
		sh(t, "systemctl reload buildwatchd.service")
	}()
	property := func(name string) string {
		return strings.TrimSpace(sh(t, "systemctl show --value --property %s buildwatchd.service", name))
	}
	if kind := property("Type"); kind != "notify-reload" && kind != "notify" {
		t.Errorf("its type is %s", kind)
	}
	pid := property("MainPID")
	started := func() string { return sh(t, "%s version --json | grep '\"started_at\"'", ctl) }
	since := started()
	sh(t, "systemctl reload buildwatchd.service")
	if now := started(); now != since {
		t.Errorf("a reload of the same files has started all anew: %s, was %s", now, since)
	}
	for i := range 5 {
		must(t, os.WriteFile(file, fmt.Appendf(nil, "[limits]\nconnections_per_user = %d\n", 100+i), 0o644))
		sh(t, "systemctl reload buildwatchd.service")
		if got := sh(t, "%s config", ctl); !strings.Contains(got, fmt.Sprintf("connections_per_user = %d", 100+i)) || strings.Contains(got, "differs") {
			t.Errorf("after the reload %d in force is\n%s", i, got)
		}
		if state := property("ActiveState"); state != "active" {
			t.Errorf("it is %s", state)
		}
	}
	if now := property("MainPID"); now != pid {
		t.Errorf("process %s has become %s", pid, now)
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
const maxExposure = 34

// TestUnitsAreSound by systemd's own judgement. The manual pages that they name are
// installed, but man(1) is not.
func TestUnitsAreSound(t *testing.T) {
	leakCheck(t)
	const units = "/usr/local/lib/systemd/system/buildwatchd"
	// systemd 252 does not know the second Type=, and says so.
	if out := sh(t, "systemd-analyze verify --man=no %[1]s.service %[1]s.socket 2>&1 | grep -v 'ignoring: notify-reload' || true", units); out != "" {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
	sh(t, "systemd-analyze security --no-pager --offline=yes --threshold=%d %s.service", maxExposure, units)
}
