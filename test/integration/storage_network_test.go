//go:build integration

package integration

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// lent is what netavark has lent to RUN containers of root's: addresses, as far as a database of
// theirs can be read for names, and names in DNS.
func lent(t *testing.T) string {
	t.Helper()
	return sh(t, "grep -aoh 'buildah-buildah[0-9]*' /run/containers/networks/aardvark-dns/* 2>/dev/null | sort -u")
}

// TestNetworkOfACancelledBuildIsGivenBack: its addresses, all of which were lent, are there for the
// next build, and nobody finds it in DNS; a container beside it keeps its own.
func TestNetworkOfACancelledBuildIsGivenBack(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { root.tidy(t) })
	const conf = "/etc/containers/containers.conf.d/99-network.conf"
	write(t, conf, "[network]\nnetwork_backend = \"netavark\"\n") // podman 4.3 may have chosen CNI
	t.Cleanup(func() { sh(t, "rm %s", conf) })
	image := contextDir(t, "")
	sh(t, "podman build --network=none --platform %s --tag beside %s", arch64, image)
	// Two addresses, .5 and .6: one container's and one build's.
	sh(t, "podman network create --subnet 10.77.0.0/29 --ip-range 10.77.0.4/30 lent")
	t.Cleanup(func() { sh(t, "podman network rm --force lent") })
	sh(t, "podman run --detach --pids-limit=0 --name beside --network lent beside /bin/busybox sleep 1001")
	t.Cleanup(func() { sh(t, "podman rm --force --time 0 beside") })
	address := sh(t, "podman inspect --format '{{.NetworkSettings.Networks.lent.IPAddress}}' beside")

	before := storageOf(t, root)
	dir := contextDir(t, "FROM base\nRUN /bin/busybox sleep 1002\n")
	for range 2 { // the second one needs the address of the first
		cancelled := startCommand(t, "podman", "build", "--no-cache", "--network", "lent", "--platform", arch64, dir)
		eventually(t, func() (string, bool) {
			out, err := try("pgrep -f 'busybox sleep 1002$'")
			return "the step does not run", err == nil && out != ""
		})
		if lent(t) == "" {
			t.Fatal("nothing is lent to the step")
		}
		must(t, syscall.Kill(cancelled.pid(), syscall.SIGKILL))
		cancelled.wait()
		noNews(t, root, before)
		if left := lent(t); left != "" {
			t.Errorf("in DNS there is %s", left)
		}
	}
	hosts, _ := os.ReadFile("/run/containers/networks/aardvark-dns/lent")
	if !strings.Contains(string(hosts), address+" ") {
		t.Errorf("of the container that is there DNS has lost %s:\n%s", address, hosts)
	}
	if out := sh(t, "podman exec beside /bin/busybox ip addr"); !strings.Contains(out, address+"/") {
		t.Errorf("it has lost %s:\n%s", address, out)
	}
}

// TestMountsOfACancelledBuildGo: what a step has mounted of its context is unmounted, and nothing of it
// is removed with the bundle that it was mounted in.
func TestMountsOfACancelledBuildGo(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { root.tidy(t) })
	before := storageOf(t, root)
	dir := contextDir(t, "FROM base\nRUN --mount=type=bind,source=kept,target=/kept /bin/busybox sleep 1001\n")
	sh(t, "mkdir %[1]s/kept; echo mine >%[1]s/kept/file", dir)
	b := startCommand(t, "podman", "build", "--no-cache", "--network=none", "--platform", arch64, dir)
	eventually(t, func() (string, bool) {
		out, err := try("pgrep -f 'busybox sleep 1001$'")
		return "the step does not run", err == nil && out != ""
	})
	cancelAll(t, b)
	noNews(t, root, before)
	if out := sh(t, "cat %s/kept/file; grep -c buildah[0-9] /proc/self/mountinfo || true", dir); out != "mine\n0" {
		t.Errorf("what was mounted, and how much is: %s", out)
	}
}
