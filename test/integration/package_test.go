//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// theWrapper is where the package has it.
const theWrapper = "/usr/libexec/buildwatch/crun"

// packaged has a test begin where buildwatch is not installed, and returns the package
// that make packages has made for this machine.
func packaged(t *testing.T) string {
	t.Helper()
	leakCheck(t)
	found, _ := filepath.Glob("/src/build/packages/buildwatch_*_amd64.deb")
	if len(found) != 1 {
		t.Fatalf("run make packages first: build/packages has %q", found)
	}
	sh(t, "make -C /src uninstall")
	t.Cleanup(func() {
		_, _ = try("dpkg --purge buildwatch; rm -f %s /etc/tmpfiles.d/buildwatch-removed.conf; rm -rf /usr/libexec/buildwatch", ctl)
		sh(t, "make -C /src install; systemctl daemon-reload; systemctl enable --now buildwatchd.socket buildwatchd.service")
	})
	return found[0]
}

// withVersion makes the same package of another version.
func withVersion(t *testing.T, deb, version string) string {
	t.Helper()
	dir := t.TempDir()
	sh(t, "dpkg-deb -R %s %s/p && sed -i 's/^Version: .*/Version: %s/' %s/p/DEBIAN/control && dpkg-deb -Znone -b %s/p %s/buildwatch.deb", deb, dir, version, dir, dir, dir)
	return filepath.Join(dir, "buildwatch.deb")
}

// apt installs a file as a user would, and returns what it says.
func apt(t *testing.T, args string) string {
	t.Helper()
	return sh(t, "DEBIAN_FRONTEND=noninteractive apt-get -q -y --allow-downgrades %s", args)
}

// buildAllTheTime builds, one after the other, until stop is called, which fails the
// test when any build has failed.
func buildAllTheTime(t *testing.T) (stop func()) {
	t.Helper()
	dir := contextDir(t, "RUN true\n")
	b := startCommand(t, "bash", "-c", "n=0; until [ -e "+dir+"/stop ]; do podman build -q --no-cache --network=none --platform "+arch64+" "+dir+" || exit 1; n=$((n+1)); done; echo $n builds >&2")
	return func() {
		t.Helper()
		must(t, os.WriteFile(dir+"/stop", nil, 0o600))
		b.succeed()
	}
}

// TestPackageIsInstalledUpgradedAndRemovedWhileBuildsRun, and none fails of it; the
// administrator's own row for the runtime stays behind the wrapper's.
func TestPackageIsInstalledUpgradedAndRemovedWhileBuildsRun(t *testing.T) {
	deb := packaged(t)
	const acme = "/etc/containers/containers.conf.d/10-acme.conf"
	must(t, os.WriteFile(acme, []byte("[engine.runtimes]\ncrun = [\"/opt/acme/crun\", \"/usr/bin/crun\"]\n"), 0o644))
	defer os.Remove(acme)
	stop := buildAllTheTime(t)
	since := time.Now().Unix()

	apt(t, "install "+deb)
	if got := sh(t, "cat "+dropIn); !strings.Contains(got, `crun = ["`+theWrapper+`", "/opt/acme/crun", "/usr/bin/crun"]`) {
		t.Errorf("the drop-in says\n%s", got)
	}
	for _, unit := range []string{"buildwatchd.socket", "buildwatchd.service"} {
		if got, _ := try("systemctl is-enabled %[1]s; systemctl is-active %[1]s", unit); got != "enabled\nactive" {
			t.Errorf("%s is %q", unit, got)
		}
	}
	sh(t, "ln -s /usr/bin/buildwatchctl %s", ctl) // where the tests look for it
	newer, older := withVersion(t, deb, "99-1"), withVersion(t, deb, "0.0.1-1")
	sync := t.TempDir()
	b := startBuild(t, "RUN until [ -e /sync/go ]; do /bin/busybox sleep 0.1; done; echo whole >/done\n", "--volume", sync+":/sync", "--tag", "upgraded")
	id := b.supervised(1).ID
	for _, file := range []string{newer, older, newer} {
		apt(t, "install "+file)
		if view := b.supervised(1); view.ID != id {
			t.Errorf("the build is %s, it was %s", view.ID, id)
		}
		if said, _ := try("%s doctor", ctl); strings.Contains(said, fmt.Sprintf("PID %d ", b.pid())) {
			t.Errorf("it goes round the wrapper, says\n%s", said)
		}
	}
	apt(t, "remove buildwatch")
	for _, gone := range []string{dropIn, "/usr/bin/buildwatchd", "/usr/libexec/buildwatch/buildwatch-runtime", "/run/buildwatch/runtime.sock"} {
		if _, err := os.Lstat(gone); err == nil {
			t.Errorf("%s is still there", gone)
		}
	}
	// Who found the wrapper holds its path.
	if target, err := os.Readlink(theWrapper); err != nil || target != "/usr/bin/crun" {
		t.Errorf("%s leads to %q, %v", theWrapper, target, err)
	}
	must(t, os.WriteFile(filepath.Join(sync, "go"), nil, 0o600))
	b.succeed()
	if got := fileInImage(t, "upgraded", "done"); got != "whole\n" {
		t.Errorf("the image has %q", got)
	}
	stop()
	sh(t, "podman rmi --force upgraded; podman image prune --force")
	if said := sh(t, "journalctl --sync; journalctl -q --no-pager -o cat -t buildwatchd -t buildwatch-runtime --since=@%d", since); strings.Contains(said, "go round") {
		t.Errorf("the journal says\n%s", said)
	}
}

// TestPackageLeavesAlone what the administrator has changed, removed or disabled, and when it
// is purged nothing is left.
func TestPackageLeavesAlone(t *testing.T) {
	deb := packaged(t)
	sh(t, "echo >/usr/local/bin/buildwatchd") // as make install would
	if out, err := try("dpkg --install %s", deb); err == nil || !strings.Contains(out, "make uninstall") {
		t.Errorf("beside another installation dpkg says %s", out)
	}
	sh(t, "rm /usr/local/bin/buildwatchd")

	apt(t, "install "+deb)
	sh(t, "rm %s; echo '# mine' >>/etc/buildwatch/buildwatchd.toml; systemctl disable --now buildwatchd.service", dropIn)
	said := apt(t, "install "+withVersion(t, deb, "99-1"))
	if _, err := os.Stat(dropIn); err == nil || !strings.Contains(said, dropIn+" was removed here") {
		t.Errorf("the drop-in is back; apt said\n%s", said)
	}
	if got, _ := try("systemctl is-enabled buildwatchd.service; systemctl is-active buildwatchd.service; tail -n 1 /etc/buildwatch/buildwatchd.toml"); got != "disabled\ninactive\n# mine" {
		t.Errorf("after an upgrade: %q", got)
	}

	apt(t, "remove buildwatch")
	apt(t, "install "+deb) // by who wants it again
	sh(t, "test -e %s && /usr/libexec/buildwatch/crun --version && tail -n 1 /etc/buildwatch/buildwatchd.toml | grep mine", dropIn)
	apt(t, "purge buildwatch")
	if left := sh(t, "find / -xdev -name '*buildwatch*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/src*' -not -path '/usr/share/buildwatch-test*' -not -path '/var/log/*' -not -path '/tmp/*'"); left != "" {
		t.Errorf("left:\n%s", left)
	}
}
