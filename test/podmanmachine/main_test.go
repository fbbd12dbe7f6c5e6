//go:build podmanmachine

package podmanmachine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	home    = "/home/dev"
	release = home + "/release"
	vm      = "podman-machine-default"
	image   = "/image/image.qcow2"
)

// patience is how long something may take that is sure to come, in an emulated machine.
const patience = 5 * time.Minute

func TestMain(m *testing.M) {
	if signal.Ignored(syscall.SIGINT) { // as a shell starts what it puts into the background: clients would inherit that
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT)
	}
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// setUp makes a release as a user unpacks it, contexts to build, and the machine.
func setUp() error {
	for _, script := range []string{
		"mkdir -p " + release + "/build/linux-amd64 ~/context /tmp/context",
		"cp -r /src/dist /src/man " + release + "; cp /src/build/buildwatch[dcrk]* /src/build/buildwatch-* " + release + "/build/linux-amd64",
		"cp /usr/share/buildwatch-test/amd64/busybox ~/context; cp /usr/share/buildwatch-test/amd64/busybox /tmp/context",
		"podman machine inspect " + vm + " >/dev/null || podman machine init --image " + image + " --cpus 1 --memory 3072 --disk-size 12",
	} {
		if out, code := ask(script); code != 0 {
			return fmt.Errorf("%s: exit code %d\n%s", script, code, out)
		}
	}
	return start()
}

// start starts the machine. gvproxy gives up when sshd is not there within 97 s, which on
// a busy host happens; then the way on is the user's: stop, and start.
func start() error {
	if out, _ := ask("podman machine inspect --format '{{.State}}' " + vm); strings.TrimSpace(out) == "running" {
		return nil
	}
	var out string
	for range 4 {
		began := time.Now()
		var code int
		if out, code = ask("exec podman machine start"); code == 0 {
			fmt.Printf("podman machine start: %s\n", time.Since(began).Round(time.Second))
			return nil
		}
		fmt.Printf("podman machine start, after %s: %s\n", time.Since(began).Round(time.Second), out)
		stop()
	}
	return errors.New(out)
}

// stop ends what there is of the machine, whatever state it is in.
func stop() {
	_, _ = ask("timeout 60 podman machine stop; pkill -KILL -u dev -x gvproxy; pkill -KILL -u dev qemu-system; rm -rf $XDG_RUNTIME_DIR/podman/*; sleep 1")
}

// reachable starts the machine unless it answers: each test has one, whatever the last has done.
func reachable(t *testing.T) {
	t.Helper()
	if _, code := ask("timeout 60 podman machine ssh " + vm + " true"); code == 0 {
		return
	}
	stop()
	if err := start(); err != nil {
		t.Fatal(err)
	}
}

// onHost is a command line of the host's user, in a session of its own: the scheduler is
// fair to sessions first, and the VM has to boot in the time that gvproxy has.
// Source: sched(7), the autogroup feature.
func onHost(script string) *exec.Cmd {
	const first = `[ ! -e /proc/self/autogroup ] || echo -15 >/proc/self/autogroup; exec runuser -u dev -- bash -c "$1"`
	cmd := exec.Command("bash", "-c", first, "bash", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{"PATH=" + release + "/build/linux-amd64:/usr/local/bin:/usr/bin:/bin:/usr/sbin", "HOME=" + home, "XDG_RUNTIME_DIR=/run/user/1600", "LANG=C.UTF-8"}
	cmd.Dir = home
	return cmd
}

// ask returns what a command line of the host's user says, and its exit code.
func ask(script string) (string, int) {
	out, err := onHost(script).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return string(out), 0
	case errors.As(err, &exit):
		return string(out), exit.ExitCode()
	}
	return err.Error(), -1
}

// host is ask of what has to work.
func host(t *testing.T, script string) string {
	t.Helper()
	out, code := ask(script)
	if code != 0 {
		t.Fatalf("%s: exit code %d\n%s", script, code, out)
	}
	return strings.TrimSpace(out)
}

// inside is a command line of root's in the machine.
func inside(t *testing.T, script string) string {
	t.Helper()
	return host(t, "podman machine ssh --username root "+vm+" "+quote(script))
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// eventually waits until ok says so.
func eventually(t *testing.T, what string, ok func() (string, bool)) {
	t.Helper()
	var last string
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Second) {
		var done bool
		if last, done = ok(); done {
			return
		}
	}
	t.Fatalf("%s: not within %s: %s", what, patience, last)
}

// A build is a client on the host: podman --remote build.
type build struct {
	t     *testing.T
	cmd   *exec.Cmd
	said  bytes.Buffer
	ended chan error
	mark  string // in the command line of its RUN step
}

// desktop builds as Podman Desktop does, for core: by Docker's API on the socket that gvproxy
// forwards, with the context in the request. Its Cancel closes the connection, no more.
// Source: podman-desktop packages/main/src/plugin/container-registry.ts, buildImage.
const desktop = "Podman Desktop"

// rootfully builds by the default connection of a machine that is rootful.
const rootfully = "rootfully"

// connections are podman's for the machine's user and for its root.
var connections = map[string]string{"core": "--connection " + vm, "root": "--connection " + vm + "-root", rootfully: ""}

// startBuild starts a build of user in the machine: steps after FROM and COPY. The context is
// in the home, which the machine sees too, or, for root, where it has to be sent.
func startBuild(t *testing.T, user, steps string) *build {
	t.Helper()
	dir := home + "/context"
	if user == "root" || user == rootfully {
		dir = "/tmp/context"
	}
	mark := fmt.Sprintf("mark%d", time.Now().UnixNano())
	file := filepath.Join(dir, "Containerfile."+mark)
	text := "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\nENV MARK=" + mark + "\n" + strings.ReplaceAll(steps, "MARK", mark) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b := &build{t: t, mark: mark, ended: make(chan error, 1)}
	client := "exec podman --remote " + connections[user] + " build --no-cache --network=none -f " + file + " " + dir
	if user == desktop {
		client = "tar --owner=0 --group=0 -C " + dir + " -cf ~/context.tar . && exec curl -sSN --unix-socket $XDG_RUNTIME_DIR/podman/" + vm + "-api.sock -X POST -H 'Content-Type: application/tar' --data-binary @context.tar " +
			"'http://d/build?dockerfile=" + filepath.Base(file) + "&t=localhost/desktop&nocache=true&networkmode=none'"
	}
	b.cmd = onHost(client)
	b.cmd.Stdout, b.cmd.Stderr = &b.said, &b.said
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { b.ended <- b.cmd.Wait() }()
	t.Cleanup(func() { b.signal(syscall.SIGKILL) })
	return b
}

// signal reaches podman itself too, not the runuser before it alone: all of the session.
func (b *build) signal(sig syscall.Signal) { _ = syscall.Kill(-b.cmd.Process.Pid, sig) }

// wait waits for the client's end, and returns its exit code.
func (b *build) wait() int {
	b.t.Helper()
	select {
	case err := <-b.ended:
		b.ended <- err
	case <-time.After(patience):
		b.t.Fatalf("the client has not ended within %s:\n%s", patience, b.said.String())
	}
	return b.cmd.ProcessState.ExitCode()
}

// family is a RUN step of five processes that goes on for an hour.
const family = `RUN for i in 1 2 3 4; do /bin/busybox sleep 3600 & done; wait`

// patient is a RUN step that goes on for an hour, or until goOn, and then says that it is whole.
const patient = `RUN /bin/busybox sleep 3600; echo WHO''LE MARK`

// goOn ends what the patient step waits for.
func (b *build) goOn() {
	b.t.Helper()
	eventually(b.t, "the patient step", func() (string, bool) {
		out := b.inContainer("[ $(cat /proc/$p/comm) = sh ] || { kill $p && echo ended; }")
		return out, strings.Contains(out, "ended")
	})
}

// whole waits for a build that has said so.
func (b *build) whole() {
	b.t.Helper()
	if code := b.wait(); code != 0 || !strings.Contains(b.said.String(), "WHOLE "+b.mark) {
		b.t.Errorf("the build: exit code %d\n%s", code, b.said.String())
	}
}

// processes counts those of the build's RUN step in the machine.
func (b *build) processes() int {
	b.t.Helper()
	return len(strings.Fields(b.inContainer("true")))
}

// inContainer prints the PIDs of the RUN step's processes in the machine, and does with each
// what is said of $p.
func (b *build) inContainer(do string) string {
	b.t.Helper()
	return inside(b.t, "for p in $(grep -lsz MARK="+b.mark+" /proc/[0-9]*/environ | cut -d/ -f3); do echo $p; "+do+"; done")
}

// begun waits for the family to be there.
func (b *build) begun() {
	b.t.Helper()
	eventually(b.t, "the RUN step's processes", func() (string, bool) {
		select {
		case err := <-b.ended:
			b.ended <- err
			b.t.Fatalf("the client has ended: %v\n%s", err, b.said.String())
		default:
		}
		n := b.processes()
		return fmt.Sprintf("%d processes\n%s", n, b.said.String()), n == 5
	})
}
