//go:build integration

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/test/matrix"
)

// image is what the cells' builds make.
const image = "localhost/matrix"

// start starts the cell's build with the given RUN step.
func (a *attempt) start(step string) *program {
	a.t.Helper()
	dir := a.contextDir(step)
	var platforms []string
	for _, arch := range a.cell.Targets() {
		platforms = append(platforms, "linux/"+arch)
	}
	name := "tag"
	if len(platforms) > 1 {
		name = "manifest"
	}
	flags := fmt.Sprintf("--no-cache --network=none --jobs %d --platform %s --%s %s %s",
		a.cell.Containers(), strings.Join(platforms, ","), name, image, dir)
	var line string
	switch a.cell.How {
	case matrix.PodmanBuild:
		line = "podman build " + flags
	case matrix.BuildahBuild:
		line = "buildah build " + flags
	case matrix.BuildahRun:
		busybox := filepath.Join(dir, "bin-"+a.cell.Platform, "busybox")
		container := a.user.sh(a.t, "c=$(buildah from scratch) && buildah copy --quiet --chmod 755 $c %s /bin/busybox >&2 && buildah copy --quiet --chmod 755 $c %s /bin/sh >&2 && echo $c", busybox, busybox)
		line = "buildah run --network=none " + lastLine(container) + " -- /bin/sh -c " + quoted(step)
	case matrix.Remote, matrix.RemoteBusy:
		line = "podman --remote --url unix://" + a.url + " build " + flags
	case matrix.Compat:
		// Without forcerm podman keeps the working containers of a build that fails.
		query := url.Values{
			"forcerm": {"1"}, "dockerfile": {"Containerfile"}, "nocache": {"1"}, "networkmode": {"none"},
			"jobs": {strconv.Itoa(a.cell.Containers())}, "platform": platforms,
		}
		query.Set(map[string]string{"tag": "t", "manifest": "manifest"}[name], image)
		line = fmt.Sprintf("curl -sS --no-buffer --unix-socket %s -H 'Content-Type: application/x-tar' --data-binary @%s.tar 'http://d/build?%s'", a.url, dir, query.Encode())
	}
	return startProgram(a.t, a.user, line, a.cell.Cancel == matrix.Hangup)
}

func lastLine(text string) string { return text[strings.LastIndex(text, "\n")+1:] }

// cancel does to the build what the cell says.
func (a *attempt) cancel(c *program, service []int) {
	a.t.Helper()
	switch a.cell.Cancel {
	case matrix.Interrupt:
		c.signal(a.t, syscall.SIGINT)
	case matrix.Terminate:
		c.signal(a.t, syscall.SIGTERM)
	case matrix.Kill:
		c.signal(a.t, syscall.SIGKILL)
	case matrix.Hangup:
		must(a.t, c.terminal.Close())
	case matrix.Disconnect:
		a.relay.cut()
	case matrix.ServiceKilled:
		for _, pid := range service {
			must(a.t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
}

// contents returns the ticks that the build has left in each of its parts.
func (a *attempt) contents() map[string]string {
	a.t.Helper()
	if a.cell.How == matrix.BuildahRun {
		return map[string]string{"the container": a.user.unshared(a.t, "buildah",
			"cat $(buildah mount $(buildah containers --quiet | head -n 1))/ticks; buildah umount --all >/dev/null")}
	}
	files := []string{"ticks"}
	if a.cell.Shape == matrix.Jobs {
		files = stages
	}
	found := map[string]string{}
	for arch, id := range a.images() {
		for _, file := range files {
			found[arch+"'s "+file] = a.user.unshared(a.t, "podman",
				fmt.Sprintf("cat $(podman image mount %s)/%s; podman image unmount %s >/dev/null", id, file, id))
		}
	}
	for _, arch := range a.cell.Targets() {
		if found[arch+"'s "+files[0]] == "" {
			a.t.Errorf("there is no image for %s: %v", arch, found)
		}
	}
	return found
}

// images returns the build's images by architecture.
func (a *attempt) images() map[string]string {
	a.t.Helper()
	ids := []string{image}
	if a.cell.Shape == matrix.Platforms {
		var list struct {
			Manifests []struct{ Digest string }
		}
		must(a.t, json.Unmarshal([]byte(a.user.sh(a.t, "podman manifest inspect %s", image)), &list))
		stored := a.user.imagesByDigest(a.t)
		ids = nil
		for _, m := range list.Manifests {
			ids = append(ids, stored[m.Digest])
		}
	}
	byArch := map[string]string{}
	for _, id := range ids {
		byArch[a.user.sh(a.t, "podman image inspect --format '{{.Architecture}}' %s", id)] = id
	}
	return byArch
}

// imagesByDigest reads the storage's own list of the user's images: podman 4.3.1
// fails to list them where there is a manifest list.
func (u user) imagesByDigest(t *testing.T) map[string]string {
	t.Helper()
	root := u.sh(t, "podman info --format '{{.Store.GraphRoot}}'")
	lists, err := filepath.Glob(root + "/*-images/images.json")
	if err != nil || len(lists) != 1 {
		t.Fatalf("lists of images: %v, %v", lists, err)
	}
	text, err := os.ReadFile(lists[0])
	must(t, err)
	var images []struct{ ID, Digest string }
	must(t, json.Unmarshal(text, &images))
	byDigest := map[string]string{}
	for _, one := range images {
		byDigest[one.Digest] = one.ID
	}
	return byDigest
}

// processes lists the processes that have the token in their command line.
func (a *attempt) processes() []int {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(a.t, err)
	var pids []int
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && bytes.Contains(cmdline, []byte(" "+a.token)) || bytes.Contains(cmdline, []byte("\x00"+a.token)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// containersProcesses are those of them that are in a container.
func (a *attempt) containersProcesses() []int {
	ours, err := os.Readlink("/proc/self/ns/pid")
	must(a.t, err)
	var pids []int
	for _, pid := range a.processes() {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil && ns != ours {
			pids = append(pids, pid)
		}
	}
	return pids
}

// monitors lists buildah's re-execs of itself that run a container.
func monitors(t *testing.T) []int {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(t, err)
	var pids []int
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && strings.HasPrefix(string(cmdline), "buildah-oci-runtime\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holdAll takes hold of processes; those that have just ended are left out.
func holdAll(t *testing.T, pids []int) []*proc.Handle {
	t.Helper()
	var held []*proc.Handle
	for _, pid := range pids {
		if h, err := proc.Open(pid); err == nil {
			t.Cleanup(h.Close)
			held = append(held, h)
		}
	}
	return held
}

// endAll ends what a failed test has left, so that the next one starts clean.
func endAll(held []*proc.Handle) {
	for _, h := range held {
		_ = h.Signal(syscall.SIGKILL)
	}
}

// startSocket has the user's podman service be started by the next connection,
// until the test ends.
func (u user) startSocket(t *testing.T) {
	t.Helper()
	sh(t, "%s start podman.socket", u.systemctl())
	t.Cleanup(func() {
		sh(t, "%s stop podman.socket podman.service", u.systemctl())
	})
}

// service returns the processes of the user's service, if it runs: as root one,
// else one that waits for the other in the user's namespace.
func (u user) service(t *testing.T) []int {
	t.Helper()
	var pids []int
	pid, _ := strconv.Atoi(sh(t, "%s show -P MainPID podman.service", u.systemctl()))
	if pid == 0 {
		return nil
	}
	pids = append(pids, pid)
	children, _ := try("pgrep --parent %d --exact podman", pid)
	for _, child := range strings.Fields(children) {
		n, err := strconv.Atoi(child)
		must(t, err)
		pids = append(pids, n)
	}
	return pids
}

// A program is a command whose end is waited for, and what it says.
type program struct {
	cmd      *exec.Cmd
	pid      int      // of the program itself, not of runuser
	terminal *os.File // nil if it has none
	done     chan struct{}
	out      output
}

type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func startProgram(t *testing.T, who user, line string, terminal bool) *program {
	t.Helper()
	c := &program{done: make(chan struct{})}
	if terminal {
		c.cmd = who.command("setsid --ctty " + line)
		c.terminal = startInTerminal(t, c.cmd, &c.out)
	} else {
		c.cmd = who.command(line)
		c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
		c.cmd.WaitDelay = long
		must(t, c.cmd.Start())
	}
	go func() { _ = c.cmd.Wait(); close(c.done) }() // how it ended is in ProcessState
	c.pid = c.cmd.Process.Pid
	if who != root {
		eventually(t, func() (string, bool) {
			child, _ := try("pgrep --parent %d", c.cmd.Process.Pid)
			c.pid, _ = strconv.Atoi(child)
			return "runuser has no child:\n" + c.said(), c.pid != 0 || !c.alive()
		})
	}
	t.Cleanup(func() {
		if c.alive() && c.pid != 0 {
			_ = syscall.Kill(c.pid, syscall.SIGKILL)
		}
		c.wait(t)
	})
	return c
}

func (c *program) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func (c *program) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	must(t, syscall.Kill(c.pid, signal))
}

// wait waits for the program's end and returns its exit status.
func (c *program) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(2 * long):
		t.Fatalf("the program hangs:\n%s\n%s", c.said(), sh(t, "ps -ef --forest"))
	}
	return c.cmd.ProcessState.ExitCode()
}

func (c *program) said() string {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.text.String()
}

// A relay passes connections on to a unix socket, until it is cut: to the service
// that is a client that is gone, though its process lives.
type relay struct {
	path     string
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	all      sync.WaitGroup
}

func newRelay(t *testing.T, target string, who user) *relay {
	t.Helper()
	dir, err := os.MkdirTemp("", "relay-")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	r := &relay{path: filepath.Join(dir, "podman.sock")}
	r.listener, err = net.Listen("unix", r.path)
	must(t, err)
	must(t, os.Chown(r.path, userIDs[who], -1))
	r.all.Go(func() {
		for {
			near, err := r.listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", target)
			if err != nil {
				near.Close()
				continue
			}
			r.keep(near, far)
			r.all.Go(func() { _, _ = io.Copy(far, near); _ = far.(*net.UnixConn).CloseWrite() })
			r.all.Go(func() { _, _ = io.Copy(near, far); _ = near.(*net.UnixConn).CloseWrite() })
		}
	})
	t.Cleanup(func() {
		r.listener.Close()
		r.cut()
		r.all.Wait()
		must(t, os.RemoveAll(dir))
	})
	return r
}

func (r *relay) keep(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, conns...)
}

// cut closes all connections. New ones are passed on until the test ends.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conn := range r.conns {
		conn.Close()
	}
	r.conns = nil
}
