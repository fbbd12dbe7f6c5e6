//go:build integration

// Package integration tests the installed project on real parts: systemd, D-Bus,
// podman, crun and qemu-user. It runs as root inside a throwaway machine (see
// test/machine) and may end whatever it likes there; it refuses to run anywhere
// else.
package integration

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// fixtures is what the machine's root file system holds for the tests.
const fixtures = "/usr/share/buildwatch-test"

// Where `make install` has put things.
const (
	libexec   = "/usr/local/libexec/buildwatch"
	ctl       = "/usr/local/bin/buildwatchctl"
	dropIn    = "/etc/containers/containers.conf.d/50-buildwatch.conf"
	scopeGlob = "buildwatch-*.scope"
)

func TestMain(m *testing.M) {
	if os.Getenv(roleEnv) != "" {
		os.Exit(play(os.Getenv(roleEnv), os.Args[1:]))
	}
	flag.Parse()
	listing := flag.Lookup("test.list").Value.String() != "" // no test is run
	if _, err := os.Stat(fixtures); (err != nil || os.Getuid() != 0) && !listing {
		fmt.Fprintln(os.Stderr, "integration tests run in the test machine only: use `make integration`")
		os.Exit(1)
	}
	status := m.Run()
	// Of programs that were built with the race detector (make integration RACE=1).
	if races, _ := try("journalctl -q --no-pager -o cat -u buildwatchd.service | grep -A 40 '^WARNING: DATA RACE'"); races != "" {
		fmt.Fprintf(os.Stderr, "the daemon has told of races:\n%s\n", races)
		status = 1
	}
	os.Exit(status)
}

// sh runs a shell command and returns its output; it fails the test when the
// command does.
func sh(t *testing.T, format string, args ...any) string {
	t.Helper()
	out, err := try(format, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", fmt.Sprintf(format, args...), err, out)
	}
	return out
}

func try(format string, args ...any) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*long)
	defer cancel()
	out, err := exec.CommandContext(ctx, "bash", "-c", fmt.Sprintf(format, args...)).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// eventually waits until the condition holds, and fails the test with what it
// last said otherwise.
func eventually(t *testing.T, condition func() (string, bool)) {
	t.Helper()
	within(t, long, condition)
}

func within(t *testing.T, limit time.Duration, condition func() (string, bool)) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		said, ok := condition()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(said)
		}
		time.Sleep(20 * time.Millisecond * slower) // where there is one slow processor, it is for what is awaited
	}
}

// machines is set by those who run several machines at once (test/suites).
var machines = flag.Int("machines", 1, "as many machines share the host's processors")

// soon is the limit for what takes a fraction of it on a host that has nothing else to do: with
// several machines the others may have the processors for most of the time, with forks that
// wait for one another.
func soon(limit time.Duration) time.Duration {
	return limit * slower * time.Duration(1+2*(*machines-1))
}

// arch64 is the platform that is emulated.
const arch64 = "linux/arm64"

// contextDir makes a build context with an emulated busybox and a Containerfile
// that ends with the given instructions.
func contextDir(t *testing.T, instructions string) string {
	t.Helper()
	dir := t.TempDir()
	busybox, err := os.ReadFile(filepath.Join(fixtures, "arm64", "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "busybox"), string(busybox))
	write(t, filepath.Join(dir, "Containerfile"), "FROM scratch AS base\nCOPY --chmod=755 busybox /bin/busybox\nCOPY --chmod=755 busybox /bin/sh\n"+instructions)
	return dir
}

// native makes a context of a busybox that is not emulated, which has memory of its own only.
func native(t *testing.T, instructions string) string {
	t.Helper()
	dir := t.TempDir()
	sh(t, "chmod 755 %[1]s %[1]s/..; cp %[2]s/amd64/busybox %[1]s/busybox; cp %[2]s/amd64/busybox %[1]s/sh", dir, fixtures)
	write(t, dir+"/Containerfile", "FROM scratch\nCOPY --chmod=755 busybox sh /bin/\n"+instructions)
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// build is a `podman build` under way.
type build struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan error
}

// startBuild runs `podman build` on the instructions. A test that does not wait
// for it has it killed in the end.
func startBuild(t *testing.T, instructions string, args ...string) *build {
	t.Helper()
	return startPodman(t, instructions, append([]string{"build"}, args...)...)
}

// startPodman is startBuild for who has flags before the verb, too.
func startPodman(t *testing.T, instructions string, args ...string) *build {
	t.Helper()
	return startCommand(t, "podman", append(args, "--no-cache", "--network=none", "--platform", arch64, contextDir(t, instructions))...)
}

// startCommand starts any command that builds.
func startCommand(t *testing.T, program string, args ...string) *build {
	t.Helper()
	b := &build{t: t, done: make(chan error, 1)}
	b.cmd = exec.Command(program, args...)
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.out
	b.cmd.WaitDelay = long
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { b.done <- b.cmd.Wait() }()
	t.Cleanup(func() { _ = b.cmd.Process.Kill() })
	return b
}

func (b *build) pid() int { return b.cmd.Process.Pid }

// wait waits for podman's end and returns its exit status.
func (b *build) wait() int {
	b.t.Helper()
	select {
	case err := <-b.done:
		b.done <- err
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			b.t.Fatal(err)
		}
		return b.cmd.ProcessState.ExitCode()
	case <-time.After(4 * long):
		b.t.Fatalf("podman build hangs:\n%s", sh(b.t, "ps -ef --forest"))
		return -1
	}
}

// succeed waits for podman and fails the test when the build has failed.
func (b *build) succeed() {
	b.t.Helper()
	if code := b.wait(); code != 0 {
		b.t.Fatalf("podman build exited with %d:\n%s", code, b.out.String())
	}
}

// fileInImage returns a file of an image.
func fileInImage(t *testing.T, image, path string) string {
	t.Helper()
	dir := sh(t, "podman image mount %s", image)
	defer sh(t, "podman image unmount %s", image)
	content, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// control is a client of the daemon under test.
func control() *client.Client { return client.New(api.ControlSocket) }

// show returns everything that the daemon knows of a build.
func show(id string) (api.BuildDetail, error) {
	c := control()
	defer c.Close()
	return c.Show(context.Background(), id)
}

// listed returns the builds that the daemon knows. A test polls it, and starts no program for that.
func listed(t *testing.T) []api.Build {
	t.Helper()
	c := control()
	defer c.Close()
	builds, err := c.List(context.Background())
	must(t, err)
	return builds
}

// supervised waits until the daemon shows the build of this owner with at least
// n processes.
func (b *build) supervised(n int) api.Build {
	b.t.Helper()
	var found api.Build
	eventually(b.t, func() (string, bool) {
		select {
		case err := <-b.done:
			b.done <- err
			b.t.Fatalf("podman build has ended (%v):\n%s", err, b.out.String())
		default:
		}
		for _, view := range listed(b.t) {
			if view.Owner.PID == b.pid() {
				found = view
			}
		}
		return fmt.Sprintf("the build of %d is not listed with %d processes: %+v", b.pid(), n, found), found.ID != "" && found.Processes >= n
	})
	return found
}
