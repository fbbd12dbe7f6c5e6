//go:build integration

package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// secret is in each of the secrets that a build is given here.
const secret = "hunter2"

// secretive is a RUN step whose processes have secrets in arguments and environment.
const secretive = "ARG TOKEN\nENV LATER=$TOKEN\nLABEL token=hunter2-in-the-file\n" +
	"RUN --mount=type=secret,id=S /bin/busybox sleep 1001 & /bin/sh -c '/bin/busybox sleep 1002; : hunter2-in-the-step' & wait\n"

// TestSecretsOfABuildAreNowhere: not in what buildwatchctl prints, in metrics, at the
// scope, or in any field of the journal, with all that can be logged, whatever the way
// in which the build is cancelled.
func TestSecretsOfABuildAreNowhere(t *testing.T) {
	leakCheck(t)
	mayLeaveStorage(t)
	configured(t, "[log]", `level = "debug"`)
	serveAPI(t)
	holdService(t, "/run/podman/podman.sock")
	since := time.Now().Unix()
	dir, err := os.MkdirTemp("", "secret-")
	must(t, err)
	defer os.RemoveAll(dir)
	file := dir + "/hunter2-in-a-name"
	must(t, os.WriteFile(file, []byte("hunter2-in-a-file"), 0o644))
	must(t, os.Chmod(dir, 0o755))
	var out lockedBuffer
	watch := exec.Command(ctl, "watch", "--json")
	watch.Stdout, watch.Stderr = &out, &out
	must(t, watch.Start())
	defer func() { _ = watch.Process.Kill(); _ = watch.Wait() }()
	for _, build := range []struct {
		who  user
		verb string
	}{
		{root, "podman build"},
		{root, "buildah build"},
		{root, "podman --runtime " + realRuntime(t) + " build"},
		{root, "podman --remote build"},
		{root, ctl + " run --name quiet -- podman build"},
		// By name, so through the wrapper: bookworm's runc can't mount a user's secret.
		{builder, "podman --runtime crun build"},
		{builder, "podman --runtime /usr/bin/crun build"},
		{builder, ctl + " run -- podman --runtime crun build"},
	} {
		t.Run(string(build.who)+", "+build.verb, func(t *testing.T) {
			flags := "--network=none --build-arg TOKEN=hunter2-argument --build-arg URL=https://user:hunter2-in-a-url@example.org/ --label l=hunter2-label --tag hunter2-tag " +
				"--secret id=S,src=" + file
			p := startBuildOf(t, build.who, "env PASSWORD=hunter2-environment "+build.verb, secretive, flags)
			view := listedOf(t, build.who, 2)
			id := view.ID
			for _, ask := range []string{
				"list", "list --json", "list --format '{{.}}'", "show " + id, "show --json " + id, "stop --dry-run " + id, "stop --dry-run --json " + id, "check", "check --json",
			} {
				said, _ := try("%s %s 2>&1", ctl, ask)
				isSilent(t, ask, said)
			}
			isSilent(t, "the metrics", scrape(t))
			if view.Scope != "" {
				isSilent(t, "systemctl show", sh(t, "systemctl show %s", view.Scope))
				record := make([]byte, 64<<10)
				n, err := unix.Getxattr("/sys/fs/cgroup"+view.Cgroup, "user.buildwatch.build", record)
				must(t, err)
				isSilent(t, "the record", string(record[:n]))
			}
			if build.who == root {
				_ = p.cmd.Process.Kill()
			} else {
				sh(t, "%s stop %s", ctl, id)
			}
			p.wait(t)
			nothingListed(t)
		})
	}
	isSilent(t, "watch", out.String())
	ours := 0
	for entry := range strings.SplitSeq(sh(t, "journalctl --sync; journalctl --output=export --since=@%d", since), "\n\n") {
		// Others say what they want of themselves: podman has its events there.
		if strings.Contains(entry, "\n_PID=1\n") || strings.Contains(entry, "SYSLOG_IDENTIFIER=buildwatch") || strings.Contains(entry, "_COMM=buildwatch") {
			ours++
			isSilent(t, "the journal", entry)
		}
	}
	if ours < 50 {
		t.Errorf("the journal has only %d entries to look at", ours)
	}
}

// isSilent fails the test where something that was printed holds a secret.
func isSilent(t *testing.T, what, said string) {
	t.Helper()
	for line := range strings.Lines(said) {
		if strings.Contains(line, secret) {
			t.Errorf("%s: %s", what, fmt.Sprintf("%.300q", line))
		}
	}
}
