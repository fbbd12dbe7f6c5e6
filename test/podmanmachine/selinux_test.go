//go:build podmanmachine

package podmanmachine

import (
	"strings"
	"testing"
)

// inForce has the next boots load the image's policy, permissive, or none.
const (
	inForce    = `mount LABEL=BOOT /mnt; sed -i "s/ audit=0/ audit=1/; s/ selinux=0/ selinux=1 security=selinux enforcing=0/" /mnt/syslinux.cfg; umount /mnt`
	notInForce = `mount LABEL=BOOT /mnt; sed -i "s/ audit=1/ audit=0/; s/ selinux=1 security=selinux enforcing=0/ selinux=0/" /mnt/syslinux.cfg; umount /mnt`
)

// TestSELinuxIsThere, permissive and with Debian's policy: all that is installed has the labels of
// that policy, what is built is ended, and what the policy would have denied us is told.
func TestSELinuxIsThere(t *testing.T) {
	uninstall(t)
	inside(t, inForce)
	host(t, "podman machine stop")
	if err := start(); err != nil {
		t.Fatal(err)
	}
	if mode := inside(t, "getenforce"); mode != "Permissive" {
		t.Fatalf("SELinux is %s", mode)
	}
	inside(t, "restorecon -R /etc /var/usrlocal") // what was made while it was not there
	install(t)
	const installed = "/usr/local/bin/buildwatch* /usr/local/libexec/buildwatch /etc/systemd/system/buildwatchd.* /etc/buildwatch /etc/containers/containers.conf.d/50-buildwatch.conf"
	t.Logf("labels:\n%s", inside(t, "ls -dZ "+installed+" /usr/local/libexec/buildwatch/*; ps -eZ | grep buildwatch"))
	if wrong := inside(t, "restorecon -Rnv "+installed); wrong != "" {
		t.Errorf("labels that are not the policy's:\n%s", wrong)
	}
	if out := inside(t, "/usr/local/bin/buildwatchctl doctor || true"); !strings.Contains(out, "SELinux is permissive; the wrapper is ") {
		t.Errorf("doctor does not tell:\n%s", out)
	}
	cancelledLeavesNothing(t, "core")
	t.Logf("what enforcing would have denied, of all denials since the boot (%s):\n%s", inside(t, "journalctl -b --no-pager -o cat _TRANSPORT=audit _TRANSPORT=kernel | grep -cE 'avc: +denied' || true"), inside(t, "journalctl -b --no-pager -o cat _TRANSPORT=audit _TRANSPORT=kernel | grep -E 'avc: +denied .*comm=\"(buildwatch|crun)' | sed -E 's/^.*avc/avc/; s/ (pid|ino)=[0-9]+//g' | sort | uniq -c | sort -rn | head -n 40 || true"))
	inside(t, notInForce)
}
