//go:build integration

package integration

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// sharedContext is contextDir for a build of another user's.
func sharedContext(t *testing.T, instructions string) string {
	t.Helper()
	dir := contextDir(t, instructions)
	sh(t, "chmod -R a+rX %s; chmod a+x %s %s", dir, filepath.Dir(dir), filepath.Dir(filepath.Dir(dir)))
	return dir
}

// inUnit makes a command line that runs another in a service of the user's, with
// properties.
func inUnit(u user, properties, command string) string {
	return fmt.Sprintf("systemd-run --quiet --wait --collect --pipe --uid=%s --working-directory=/ --setenv=HOME=$(getent passwd %[1]s | cut -d: -f6) --setenv=XDG_RUNTIME_DIR=/run/user/%d %s -- %s",
		u, userIDs[u], properties, command)
}

// journal returns what a program has left in the journal.
func journal(t *testing.T, program string) []string {
	t.Helper()
	out := sh(t, "journalctl -q --sync; journalctl -q --no-pager -o cat -t %s", program)
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

// TestBuildBelowAReadOnlyCgroupHierarchy: a unit with ProtectControlGroups=yes builds as
// without buildwatch, and so does the same user's next build, which shares the mounts
// of the first through the pause process.
func TestBuildBelowAReadOnlyCgroupHierarchy(t *testing.T) {
	leakCheck(t)
	core.tidy(t)
	t.Cleanup(func() { core.tidy(t); sh(t, "pkill -u core -x catatonit || true") })
	dir := sharedContext(t, "RUN echo done > /done\n")
	sh(t, "pkill -u core -x catatonit || true")
	for _, build := range []string{
		"buildah build --isolation oci",
		"buildah build --isolation rootless",
		"podman build",
		"podman --cgroup-manager=cgroupfs build",
	} {
		t.Run(build, func(t *testing.T) {
			before := len(journal(t, "buildwatch-runtime"))
			asWithoutBuildwatch(t, inUnit(core, "-p ProtectControlGroups=yes", build+" --no-cache --network=none --platform "+arch64+" --tag done "+dir))
			if said := strings.Join(journal(t, "buildwatch-runtime")[before:], "\n"); !strings.Contains(said, "mounted read-only") {
				t.Errorf("the journal does not say why it was not placed:\n%s", said)
			}
		})
	}
	// podman was first, so its pause process, and who joins it, have these mounts.
	for _, build := range []string{"podman build", "podman --cgroup-manager=cgroupfs build", "buildah build --isolation oci"} {
		asWithoutBuildwatch(t, fmt.Sprintf("runuser --login core --session-command %s", quoted(build+" --no-cache --network=none --platform "+arch64+" --tag done "+dir)))
	}
	nothingListed(t)
}

// asWithoutBuildwatch runs a command that builds, and fails the test where it fails and
// would not without buildwatch. It reports whether the command succeeded.
func asWithoutBuildwatch(t *testing.T, command string) bool {
	t.Helper()
	out, err := try("%s", command)
	if err == nil {
		return true
	}
	sh(t, "mv %[1]s %[1]s.away", dropIn)
	defer sh(t, "mv %[1]s.away %[1]s", dropIn)
	said, without := try("%s", command)
	if without == nil {
		t.Fatalf("a build fails that does not without buildwatch: %s: %v\n%s", command, err, out)
	}
	t.Logf("it fails without buildwatch as well: %s", said[max(0, len(said)-300):])
	return false
}

// TestBuildInACgroupNamespaceOfItsOwn: the path of a place would mean another cgroup
// there. The build is observed, shown so, and nothing survives its end.
func TestBuildInACgroupNamespaceOfItsOwn(t *testing.T) {
	for name, start := range map[string]string{
		"unshare":     "unshare -C ",
		"own mount":   "unshare -C -m sh -c 'mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"' - ",
		"bind mount":  "unshare -m sh -c 'mount --bind /sys/fs/cgroup/system.slice /sys/fs/cgroup && exec \"$@\"' - ",
		"private":     "systemd-run --quiet --wait --collect --pipe -p ProtectControlGroups=private -- ",
		"strict":      "systemd-run --quiet --wait --collect --pipe -p ProtectControlGroups=strict -- ",
		"no cgroupfs": "unshare -m sh -c 'umount -l /sys/fs/cgroup && exec \"$@\"' - ",
	} {
		t.Run(name, func(t *testing.T) {
			leakCheck(t)
			mayLeaveStorage(t)
			dir := contextDir(t, escapers)
			build := start + "podman --cgroup-manager=cgroupfs build --no-cache --network=none --platform " + arch64 + " "
			if !asWithoutBuildwatch(t, build+contextDir(t, "RUN true\n")) {
				return // podman can't build so
			}
			cmd := exec.Command("bash", "-c", "exec "+build+dir)
			must(t, cmd.Start())
			go func() { _ = cmd.Wait() }()
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			var view api.Build
			eventually(t, func() (string, bool) {
				builds := listed(t)
				for _, b := range builds {
					if b.Processes >= escapersSize {
						view = b
					}
				}
				return fmt.Sprintf("listed: %+v", builds), view.ID != ""
			})
			if view.Placement != api.PlacementObserved || view.State != api.StateRunning {
				t.Errorf("listed as %+v", view)
			}
			held := hold(t, view)
			sh(t, "kill -KILL %d", view.Owner.PID)
			allGone(t, held)
			nothingListed(t)
		})
	}
}
