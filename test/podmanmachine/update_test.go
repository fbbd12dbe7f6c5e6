//go:build podmanmachine

package podmanmachine

import (
	"strings"
	"syscall"
	"testing"
)

// upgraded puts other files into the place of podman's, as a package manager does: those that
// run keep theirs.
const upgraded = `
umount -l /usr # here alone: below is the disk's own, which can be written to
for program in podman crun; do
	cp -p /usr/bin/$program /usr/bin/$program.new
	mv /usr/bin/$program.new /usr/bin/$program
done`

// newSystem puts another /usr into the place of the old one, as an update of Fedora CoreOS does:
// /etc and /var stay. Files that are the same in both are links, as in ostree.
const newSystem = `
umount -l /usr
cp -al /usr /usr.new
for program in podman crun; do
	cp -p --remove-destination /usr/bin/$program /usr.new/bin/$program
done
rm /usr.new/lib/os-release
sed 's/^PRETTY_NAME=.*/PRETTY_NAME="the next system"/' /usr/lib/os-release >/usr.new/lib/os-release
mv --exchange --no-target-directory /usr.new /usr`

// TestPodmanIsUpgradedAndThenTheSystem: while the daemon runs, and with the next boot.
func TestPodmanIsUpgradedAndThenTheSystem(t *testing.T) {
	install(t)
	before := inside(t, "stat -c %i /usr/bin/podman; systemctl show --value -p MainPID buildwatchd")
	inside(t, "unshare -m sh -ec "+quote(upgraded))
	cancelledLeavesNothing(t, "core")
	after := inside(t, "stat -c %i /usr/bin/podman; systemctl show --value -p MainPID buildwatchd")
	if b, a := strings.Fields(before), strings.Fields(after); a[0] == b[0] || a[1] != b[1] {
		t.Errorf("podman's inode and the daemon's PID were %s and are %s", b, a)
	}

	inside(t, "unshare -m sh -ec "+quote(newSystem))
	host(t, "podman machine stop")
	if err := start(); err != nil {
		t.Fatal(err)
	}
	if out := inside(t, "grep PRETTY_NAME /etc/os-release; findmnt -no OPTIONS /usr"); !strings.Contains(out, "the next system") || !strings.Contains(out, "\nro,") {
		t.Fatalf("it is not the new system:\n%s", out)
	}
	worksAsBefore(t)
	cancelledLeavesNothing(t, "core")
}

// TestRootful: the machine's default connection is that of its root, and so is what the host's
// podman and buildwatchctl mean without a name.
func TestRootful(t *testing.T) {
	install(t)
	host(t, "podman machine stop && podman machine set --rootful")
	if err := start(); err != nil {
		t.Fatal(err)
	}
	worksAsBefore(t)
	cancelledLeavesNothing(t, rootfully)
}

// TestMadeAnewByThePlaybook: `machine rm`, and `init --playbook` has it again.
func TestMadeAnewByThePlaybook(t *testing.T) {
	host(t, "podman machine rm --force")
	installed = false
	host(t, release+"/dist/podman-machine/playbook.sh >buildwatch.yml && podman machine init --image "+image+" --cpus 1 --memory 3072 --disk-size 12 --playbook buildwatch.yml")
	if err := start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "buildwatchd, by the playbook", func() (string, bool) {
		out, code := ask("buildwatchctl --machine list --json")
		return out + inside(t, "systemctl status playbook.service --no-pager -n 20 || true"), code == 0 && strings.HasPrefix(out, "[]")
	})
	cancelledLeavesNothing(t, "core")
}

// worksAsBefore looks whether what was installed is in force after a boot.
func worksAsBefore(t *testing.T) {
	t.Helper()
	listed(t, "core", 0)
	out := inside(t, "systemctl is-active buildwatchd.socket buildwatchd.service; podman info --format '{{.Host.OCIRuntime.Path}}'")
	if !strings.Contains(out, "active\nactive\n") || !strings.Contains(out, "libexec/buildwatch/crun") {
		t.Errorf("after the boot:\n%s", out)
	}
}

// cancelledLeavesNothing builds, cancels, and looks.
func cancelledLeavesNothing(t *testing.T, user string) {
	t.Helper()
	b := startBuild(t, user, family)
	b.begun()
	listed(t, user, 1)
	b.signal(syscall.SIGKILL)
	if code := b.wait(); code == 0 {
		t.Errorf("the client's exit code is 0")
	}
	b.gone()
	listed(t, user, 0)
}
