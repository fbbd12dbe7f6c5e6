//go:build integration

package integration

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// TestVersionTellsWhatIsUsedOfTheHost: what this machine has for sure is found,
// also by the daemon in its sandbox, and its versions are the machine's.
func TestVersionTellsWhatIsUsedOfTheHost(t *testing.T) {
	leakCheck(t)
	c := control()
	defer c.Close()
	var host *api.Host
	eventually(t, func() (string, bool) {
		info, err := c.Info(context.Background())
		must(t, err)
		host = info.Host
		return "nothing is found, or systemd has not answered", host != nil && host.Systemd != ""
	})
	if kernel := sh(t, "uname -r"); host.Kernel != kernel {
		t.Errorf("the kernel is %s, told is %s", kernel, host.Kernel)
	}
	if first := sh(t, "systemctl --version | head -n 1"); !strings.Contains(first, "("+host.Systemd+")") {
		t.Errorf("systemd is %s, told is %s", first, host.Systemd)
	}
	controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	must(t, err)
	for _, f := range host.Features {
		name, isController := strings.CutPrefix(string(f.Name), "controller_")
		want := !isController || strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " "+name+" ")
		if f.Found != want {
			t.Errorf("%s: found %v (%s)", f.Name, f.Found, f.Error)
		}
	}
	if len(host.Features) != len(api.FeatureNames()) {
		t.Errorf("%d features were tried, there are %d", len(host.Features), len(api.FeatureNames()))
	}
	for _, words := range []string{"kernel        " + host.Kernel, "systemd       " + host.Systemd, "used          pidfd_open, SO_PEERPIDFD"} {
		if out := sh(t, "%s version", ctl); !strings.Contains(out, words) {
			t.Errorf("version says\n%s\nand not %q", out, words)
		}
	}
}
