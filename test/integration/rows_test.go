//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/podman"
)

// confD is where an administrator puts rows of their own.
const confD = "/etc/containers/containers.conf.d/"

// ownRuntime moves the host's runtime to where podman has compiled in no path for it,
// and returns its name and its new path. It notes its calls there.
func ownRuntime(t *testing.T) (name, path string) {
	t.Helper()
	name = filepath.Base(realRuntime(t))
	dir := "/opt/acme"
	must(t, os.MkdirAll(dir, 0o755))
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	sh(t, "cp -L /usr/bin/%s %s/real", name, dir) // a link, on bookworm
	for _, compiledIn := range podman.RuntimePaths()[name] {
		if os.Rename(compiledIn, compiledIn+".away") == nil {
			t.Cleanup(func() { must(t, os.Rename(compiledIn+".away", compiledIn)) })
		}
	}
	path = filepath.Join(dir, name)
	write(t, path, "#!/bin/sh\necho \"$*\" >>/opt/acme/calls\nexec /opt/acme/real \"$@\"\n")
	write(t, dir+"/calls", "")
	must(t, os.Chmod(dir+"/calls", 0o666))
	return name, path
}

// writeRow makes a drop-in with a runtime's row. Where podman has compiled in no path to
// it, it must be asked for by name, too.
func writeRow(t *testing.T, file, name string, paths ...string) {
	t.Helper()
	must(t, os.WriteFile(confD+file, []byte(fmt.Sprintf("[engine]\nruntime = %q\n[engine.runtimes]\n%[1]s = [\"%s\"]\n", name, strings.Join(paths, "\", \""))), 0o644))
	t.Cleanup(func() { _ = os.Remove(confD + file) })
}

// runsContainers builds, by all of them that build, and runs a container.
func runsContainers(t *testing.T, placement api.Placement) {
	t.Helper()
	must(t, os.WriteFile("/opt/acme/calls", nil, 0o666))
	b := startBuild(t, "RUN echo done > /done\nRUN /bin/busybox sleep 2\n", "--tag", "sleeper")
	if view := b.supervised(1); view.Placement != placement {
		t.Errorf("listed as %q", view.Placement)
	}
	b.succeed()
	if got := fileInImage(t, "sleeper", "done"); got != "done\n" {
		t.Errorf("the image has %q", got)
	}
	if out := sh(t, "podman run --rm --platform %s --pids-limit=0 --network=none sleeper /bin/busybox echo yes", arch64); out != "yes" {
		t.Errorf("podman run says %q", out)
	}
	sh(t, "buildah build --isolation oci --no-cache --network=none --platform %s %s", arch64, contextDir(t, "RUN true\n"))
	builder.sh(t, "podman build --no-cache --network=none --platform %s %s", arch64, sharedContext(t, "RUN true\n"))
	calls := sh(t, "cat /opt/acme/calls")
	for _, call := range []string{"create", "start", "state", "delete"} {
		if !strings.Contains(calls, call) {
			t.Errorf("the administrator's runtime had no call of %q:\n%s", call, calls)
		}
	}
}

// TestRuntimeOfTheAdministratorsOwnRow: a newer one somewhere else, in a drop-in that
// sorts before ours, made after the installation and before it.
func TestRuntimeOfTheAdministratorsOwnRow(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { builder.tidy(t); sh(t, "podman rmi --all --force") })
	name, path := ownRuntime(t)
	writeRow(t, "10-acme.conf", name, "/opt/acme/none", path)
	runsContainers(t, api.PlacementScope)
	if out := sh(t, "podman info --format '{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Version}}'"); !strings.Contains(out, name+" version") {
		t.Errorf("podman info says %q", out)
	}

	sh(t, "make -C /src install")
	if conf := sh(t, "cat %s", dropIn); !strings.Contains(conf, fmt.Sprintf(`%[1]s = ["%[2]s/%[1]s", "/opt/acme/none", "%[3]s"]`, name, libexec, path)) {
		t.Errorf("the drop-in says\n%s", conf)
	}
	runsContainers(t, api.PlacementScope)
	// podman goes on by itself where the wrapper is missing.
	sh(t, "mv %s/buildwatch-runtime{,.away}", libexec)
	sh(t, "podman run --rm --pids-limit=0 --network=none sleeper /bin/busybox true")
	sh(t, "mv %s/buildwatch-runtime{.away,}", libexec)

	// And with a row that names none that exists, podman fails as it would.
	writeRow(t, "10-acme.conf", name, "/opt/acme/none")
	b := startBuild(t, "RUN true\n")
	if code := b.wait(); code == 0 || !strings.Contains(b.out.String(), "no valid executable found for OCI runtime "+name) {
		t.Errorf("exit status %d:\n%s", code, b.out.String())
	}
	// One that is in $PATH, podman finds all the same: the row's program was removed.
	must(t, os.Symlink("/opt/acme/real", "/usr/bin/"+name))
	sh(t, "podman run --rm --pids-limit=0 --network=none sleeper /bin/busybox true")
	startBuild(t, "RUN true\n").succeed()
	must(t, os.Remove("/usr/bin/"+name))
	writeRow(t, "10-acme.conf", name, path)
	mayLeaveStorage(t)
	must(t, os.Remove(confD+"10-acme.conf"))
	must(t, os.Symlink("/opt/acme/real", "/usr/bin/"+name))
	sh(t, "make -C /src install")
	must(t, os.Remove("/usr/bin/"+name))
}

// TestRowThatGoesRoundTheWrapper sorts after ours: it stands, is told of, and its builds
// are observed. With the wrapper in it first, they are placed.
func TestRowThatGoesRoundTheWrapper(t *testing.T) {
	leakCheck(t)
	t.Cleanup(func() { builder.tidy(t); sh(t, "podman rmi --all --force") })
	name, path := ownRuntime(t)
	writeRow(t, "60-acme.conf", name, path)
	runsContainers(t, api.PlacementObserved)
	const told = "60-acme.conf has a row for "
	if out := sh(t, "make -C /src install"); !strings.Contains(out, told+name) {
		t.Errorf("make install says\n%s", out)
	}
	before := len(journal(t, "buildwatchd"))
	sh(t, "systemctl restart buildwatchd.service")
	if said := strings.Join(journal(t, "buildwatchd")[before:], "\n"); !strings.Contains(said, told+name) {
		t.Errorf("the daemon says\n%s", said)
	}
	writeRow(t, "60-acme.conf", name, filepath.Join(libexec, name), path)
	runsContainers(t, api.PlacementScope)
	if out := sh(t, "make -C /src install"); strings.Contains(out, told) {
		t.Errorf("make install says\n%s", out)
	}
}
