//go:build integration

package integration

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// A user is who runs commands in a test: root, or one of the machine's users, in
// a login session of their own.
type user string

const (
	root    user = "root"
	builder user = "builder" // UID 1000, subordinate UIDs, lingering
	core    user = "core"    // UID 501, the same
)

var userIDs = map[user]int{root: 0, builder: 1000, core: 501}

// command makes a command of the user's that runs a program. For root it is that
// program; for others runuser comes first and the program is its child, in the
// same terminal and process group.
func (u user) command(program string) *exec.Cmd {
	if u == root {
		return exec.Command("bash", "-c", "exec "+program)
	}
	return exec.Command("runuser", "--login", string(u), "--session-command", "exec "+program)
}

// sh runs a shell command as the user and returns its output; it fails the test
// when the command does.
func (u user) sh(t *testing.T, format string, args ...any) string {
	t.Helper()
	out, err := u.try(format, args...)
	if err != nil {
		t.Fatalf("%s: %s: %v\n%s", u, fmt.Sprintf(format, args...), err, out)
	}
	return out
}

func (u user) try(format string, args ...any) (string, error) {
	if u == root {
		return try(format, args...)
	}
	return try("runuser --login %s --session-command %s", u, quoted(fmt.Sprintf(format, args...)))
}

// quoted makes one word of the shell's of any text.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// systemctl is the command for the user's own systemd.
func (u user) systemctl() string {
	if u == root {
		return "systemctl"
	}
	return fmt.Sprintf("systemctl --user --machine=%s@", u)
}

// socket is where the user's podman service listens.
func (u user) socket() string {
	if u == root {
		return "/run/podman/podman.sock"
	}
	return fmt.Sprintf("/run/user/%d/podman/podman.sock", userIDs[u])
}

// unshared runs a shell script where the user can mount their images.
func (u user) unshared(t *testing.T, program, script string) string {
	t.Helper()
	if u == root {
		return u.sh(t, "%s", script)
	}
	return u.sh(t, "%s unshare sh -c %s", program, quoted(script))
}

// tidy removes what podman and buildah leave of builds that were not allowed to
// finish: working containers, their mounts, bundles, the runtimes' records. And
// what they keep of finished ones, so that no build finds another's layers.
func (u user) tidy(t *testing.T) {
	t.Helper()
	u.sh(t, "podman rm --all --force --time 0 >&2; buildah rm --all >&2; podman manifest rm "+image+" >&2; podman rmi --all --force >&2 || true")
	// A service that is killed leaves the directories of its requests, too.
	sh(t, "find /var/tmp -maxdepth 1 -user %s '(' -name 'buildah*' -o -name 'libpod_builder*' ')' -exec rm -rf {} +; rm -rf /run/crun/buildah-* /run/runc/buildah-* /run/user/%d/{crun,runc}/buildah-*", u, userIDs[u])
}
