//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPodmanMachineWithoutUsrLocal: an image whose /usr/local is as read-only as
// /usr; and with SELinux, of which this machine has only what restorecon is told.
func TestPodmanMachineWithoutUsrLocal(t *testing.T) {
	leakCheck(t)
	m := startPodmanMachine(t)
	const told = "/tmp/podman-machine/restorecon"
	write(t, "/usr/bin/restorecon", "#!/bin/sh\ns=without; [ ! -e "+dropIn+" ] || s=with\necho $s \"$@\" >>"+told+"\n")
	t.Cleanup(func() { must(t, os.Remove("/usr/bin/restorecon")) })
	before := files(t)
	sh(t, "mount --bind /usr/local /usr/local; mount -o remount,bind,ro /usr/local")
	t.Cleanup(func() { sh(t, "umount /usr/local") })

	const there = "/opt/buildwatch"
	out := m.script("dash", "install")
	if !strings.Contains(out, m.verified("core", there+"/libexec/buildwatch")) {
		t.Errorf("install.sh says\n%s", out)
	}
	sh(t, "systemctl stop buildwatchd.socket buildwatchd.service; systemctl start buildwatchd.socket buildwatchd.service")
	if out, errs, code := m.ask("%s --machine list --json", m.ctl()); code != 0 || out != "[]\n" {
		t.Errorf("list: %d\n%s%s", code, out, errs)
	}
	// What the README tells to type. Of sudo's own path /opt is no part.
	if out, errs, code := m.ask("podman machine ssh vm sudo buildwatchctl list --json"); code != 0 || out != "[]\n" {
		t.Errorf("sudo buildwatchctl list: %d\n%s%s\n%s", code, out, errs, sh(t, "cat /etc/sudoers.d/* || true"))
	}
	// Programs have their labels before podman uses them.
	labelled, err := os.ReadFile(told)
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(labelled)), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "without -R "+there+"/bin/buildwatchd ") || !strings.Contains(lines[0], there+"/libexec/buildwatch ") ||
		lines[1] != "without -R "+there+"/libexec/buildwatch" || lines[2] != "with -R "+dropIn {
		t.Errorf("restorecon was told\n%s", labelled)
	}
	m.script("dash", "uninstall")
	if left := added(before, files(t)); len(left) > 0 && strings.Join(left, " ") != "/etc/tmpfiles.d" {
		t.Errorf("uninstall.sh has left\n%s", strings.Join(left, "\n"))
	}
}

// TestPodmanMachineThatShowsTheHostsConfiguration, as those of podman 6 do: it
// is the user's, and nothing writes there.
func TestPodmanMachineThatShowsTheHostsConfiguration(t *testing.T) {
	leakCheck(t)
	m := startPodmanMachine(t)
	hosts := t.TempDir()
	sh(t, "cp -a /etc/containers/. %[1]s; chmod 755 %[1]s %[2]s; mount --bind %[1]s /etc/containers", hosts, filepath.Dir(hosts))
	t.Cleanup(func() { sh(t, "umount /etc/containers") })
	before := files(t)
	out, errs, code := m.ask("%s/dist/podman-machine/install.sh vm", m.release)
	if code != 1 || !strings.Contains(errs, "Save the lines below on the host, as ~/.config/containers/containers.conf.d/50-buildwatch.conf") {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	if more := added(before, files(t)); len(more) > 0 {
		t.Errorf("a refused install.sh has added %q", more)
	}

	// The user does so, with an editor of Windows.
	_, lines, _ := strings.Cut(errs, "\n\n")
	must(t, os.MkdirAll(filepath.Join(hosts, "containers.conf.d"), 0o755))
	write(t, filepath.Join(hosts, "containers.conf.d/50-buildwatch.conf"), strings.ReplaceAll(lines, "\n", "\r\n"))
	configuration := sh(t, "find %s -type f -exec sha256sum {} +", hosts)
	if out := m.script("dash", "install"); !strings.Contains(out, m.verified("core", libexec)) {
		t.Errorf("install.sh says\n%s", out)
	}
	if out := m.script("dash", "uninstall"); !strings.Contains(out, "50-buildwatch.conf is the host's: remove it there") {
		t.Errorf("uninstall.sh says\n%s", out)
	}
	if got := sh(t, "find %s -type f -exec sha256sum {} +", hosts); got != configuration {
		t.Errorf("the host's configuration was\n%s\nand is\n%s", configuration, got)
	}
	// What the host still has does no harm to a machine without buildwatch.
	startBuild(t, "RUN true\n").succeed()
}

// TestPodmanMachineWhereTheDaemonDoesNotStart: builds go on as if nothing had
// been installed.
func TestPodmanMachineWhereTheDaemonDoesNotStart(t *testing.T) {
	leakCheck(t)
	m := startPodmanMachine(t)
	write(t, m.release+"/build/linux-amd64/buildwatchd", "#!/bin/sh\nexit 1\n")
	out, errs, code := m.ask("%s/dist/podman-machine/install.sh", m.release)
	if code != 1 || !strings.Contains(errs, "was taken back: builds go on without buildwatch") {
		t.Errorf("install.sh: exit code %d\n%s%s", code, out, errs)
	}
	if out := sh(t, "podman info --format '{{.Host.OCIRuntime.Path}}'"); !strings.HasSuffix(out, "bin/"+m.runtime) {
		t.Errorf("podman's runtime is %s", out)
	}
	m.script("dash", "uninstall")

	must(t, os.Remove(m.release+"/build/linux-amd64/buildwatchd"))
	for args, want := range map[string]string{
		"vm":    "build/linux-amd64/buildwatchd is missing: run make machine-binaries first",
		"halt":  `podman has no machine "halt"`,
		"vm vm": "usage: install.sh [MACHINE]",
	} {
		if out, errs, code := m.ask("%s/dist/podman-machine/install.sh %s", m.release, args); code != 1 || !strings.Contains(errs, want) {
			t.Errorf("install.sh %s: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	m.state("stopped")
	if _, errs, code := m.ask("%s/dist/podman-machine/install.sh vm", m.release); code != 1 || !strings.Contains(errs, "podman machine start vm") {
		t.Errorf("a stopped machine: exit code %d\n%s", code, errs)
	}
}

// TestAnImageOfTheMachinesSystem is built by the recipe; of the base only a shell is real.
func TestAnImageOfTheMachinesSystem(t *testing.T) {
	leakCheck(t)
	dir := t.TempDir()
	sh(t, "mkdir -p %[1]s/base %[1]s/release/build/linux-amd64; cp /usr/share/buildwatch-test/amd64/busybox %[1]s/base; cp -r /src/dist /src/man %[1]s/release; "+
		"cp /src/build/buildwatch[dcrk]* /src/build/buildwatch-* %[1]s/release/build/linux-amd64", dir)
	write(t, dir+"/base/Containerfile", "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox --install -s /bin; mkdir -p /etc /tmp /usr/bin /var/lib; cp /bin/busybox /usr/bin/crun\"]\n")
	t.Cleanup(func() { sh(t, "podman rmi --force localhost/machine-os localhost/base") })
	sh(t, "podman build --network=none -t localhost/base %s/base", dir)
	sh(t, "podman build --network=none -f %[1]s/release/dist/podman-machine/Containerfile --build-arg BASE=localhost/base -t localhost/machine-os %[1]s/release", dir)
	out := sh(t, "podman run --rm --pids-limit=0 --network=none localhost/machine-os sh -c '/usr/bin/buildwatchctl --version; cat /etc/containers/containers.conf.d/50-buildwatch.conf /usr/share/containers/containers.conf.d/50-buildwatch.conf; "+
		"cat /usr/lib/systemd/system/multi-user.target.wants/buildwatchd.service /usr/lib/systemd/system/sockets.target.wants/buildwatchd.socket; ls /tmp'")
	if strings.Count(out, `crun = ["/usr/libexec/buildwatch/crun", "/usr/bin/crun"`) != 2 || !strings.HasPrefix(out, "buildwatchctl ") ||
		!strings.Contains(out, "ExecStart=/usr/bin/buildwatchd") || !strings.Contains(out, "ListenStream=/run/buildwatch/control.sock") || strings.HasSuffix(out, "buildwatch") {
		t.Errorf("the image has\n%s", out)
	}
}
