//go:build integration

package integration

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"sync"
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

// TestNetworkOfACancelledRootlessBuildIsGivenBack, and pasta, which nobody needs then, ends.
func TestNetworkOfACancelledRootlessBuildIsGivenBack(t *testing.T) {
	if _, err := builder.try("podman --transient-store version"); err != nil {
		return // podman 4.3 fails to make such a network: netavark does not find its namespace
	}
	leakCheck(t)
	t.Cleanup(func() { builder.tidy(t) })
	before := storageOf(t, builder)
	dir := native(t, "RUN /bin/busybox sleep 1003\n")
	p := startProgram(t, builder, "podman build --isolation oci "+dir, false)
	eventually(t, func() (string, bool) {
		_, err := try("pgrep -f 'busybox sleep 1003$'")
		return p.said(), err == nil
	})
	network := func() string { return sh(t, "pgrep -a -u %s '^pasta|slirp4netns' || true", builder) }
	if network() == "" {
		t.Fatal("the step has no network of its user's")
	}
	p.signal(t, syscall.SIGKILL)
	p.wait(t)
	noNews(t, builder, before)
	eventually(t, func() (string, bool) { return network(), network() == "" })
}

// hangingImage serves an image that never comes whole, and tells when it is asked for.
func hangingImage(t *testing.T) (name string, asked <-chan struct{}) {
	t.Helper()
	const kind, config = "application/vnd.oci.image.", `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%064d"]}}`
	content := fmt.Sprintf(config, 0)
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"%[1]smanifest.v1+json","config":{"mediaType":"%[1]sconfig.v1+json","size":%[2]d,"digest":%[3]q},`+
		`"layers":[{"mediaType":"%[1]slayer.v1.tar+gzip","size":1000000,"digest":"sha256:%064[4]d"}]}`, kind, len(content), digest, 1)
	begun, life := make(chan struct{}), t.Context()
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path.Base(r.URL.Path) {
		case "latest":
			w.Header().Set("Content-Type", kind+"manifest.v1+json")
			_, _ = w.Write([]byte(manifest))
		case digest:
			_, _ = w.Write([]byte(content))
		case fmt.Sprintf("sha256:%064d", 1):
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(make([]byte, 5000))
			_ = http.NewResponseController(w).Flush()
			once.Do(func() { close(begun) })
			select {
			case <-r.Context().Done():
			case <-life.Done():
			}
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/image", begun
}

// TestMountsAndFilesOfACancelledBuildGo: what a step has mounted of its context is unmounted, and nothing of
// it is removed with the bundle that it was mounted in; its secrets, and what there is of an image that
// another build was pulling, are removed.
func TestMountsAndFilesOfACancelledBuildGo(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { root.tidy(t) })
	before := storageOf(t, root)
	dir := contextDir(t, "FROM base\nRUN --mount=type=bind,source=kept,target=/kept --mount=type=secret,id=token /bin/busybox sleep 1001\n")
	sh(t, "mkdir %[1]s/kept; echo mine >%[1]s/kept/file", dir)
	b := startCommand(t, "env", "TOKEN=topsecret", "podman", "build", "--no-cache", "--network=none", "--platform", arch64,
		"--secret=id=token,env=TOKEN", "--volume="+dir+"/kept:/over:O", dir)
	image, asked := hangingImage(t)
	pulling := startCommand(t, "podman", "build", "--network=none", "--tls-verify=false", native(t, "FROM "+image+"\n"))
	eventually(t, func() (string, bool) {
		out, err := try("pgrep -f 'busybox sleep 1001$'")
		return "the step does not run", err == nil && out != ""
	})
	eventually(t, func() (string, bool) {
		select {
		case <-asked:
			return "", true
		default:
			return "the image is not pulled", false
		}
	})
	const written = "grep -l topsecret /var/tmp/* /dev/shm/* 2>/dev/null; ls -d /var/tmp/*storage[0-9]*"
	if out := sh(t, written); strings.Count(out, "\n") != 1 {
		t.Fatalf("a secret and an image are not where they were expected: %s", out)
	}
	cancelAll(t, b)
	must(t, pulling.cmd.Process.Kill())
	pulling.wait()
	noNews(t, root, before)
	if out, err := try(written); err == nil {
		t.Errorf("left are %s", out)
	}
	if out := sh(t, "cat %s/kept/file; grep -c -e buildah[0-9] -e /overlay/[0-9] /proc/self/mountinfo || true", dir); out != "mine\n0" {
		t.Errorf("what was mounted, and how much is: %s", out)
	}
}
