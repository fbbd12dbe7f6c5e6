package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// apiSocket is that of root's API service.
const apiSocket = "/run/podman/podman.sock"

// Who asks the service for a build, and how its end comes.
const (
	remote        = "podman --remote"
	dockersBuild  = "POST /build"
	podmansBuild  = "POST /libpod/build"
	death         = "killed"
	disconnection = "disconnects" // while its process lives
)

// apiCase is one way in which the client of an API build goes.
type apiCase struct {
	client, end string
	busy        bool // another client has a connection to the service
	bare        bool // no daemon: the least that ends the build with its client
}

func (c apiCase) String() string {
	service := "idle service"
	if c.busy {
		service = "busy service"
	}
	if c.bare {
		service = "floor: a bare program, pidfd and cgroup.kill"
	}
	return c.client + " " + c.end + ", " + service
}

func apiCases() []apiCase {
	all := []apiCase{{client: dockersBuild, end: death, bare: true}}
	for _, client := range []string{remote, dockersBuild, podmansBuild} {
		for _, end := range []string{death, disconnection} {
			all = append(all, apiCase{client: client, end: end}, apiCase{client: client, end: end, busy: true})
		}
	}
	return all
}

// measureAPI has the clients of API builds go, and prints how long after that the last
// process of the build was gone; in turn with each daemon.
func measureAPI(rounds int, daemons []daemon) error {
	dir, err := contextDir(family)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := command("systemctl", "start", "podman.socket"); err != nil {
		return err
	}
	tables := make([][]*series, len(apiCases()))
	for i, c := range apiCases() {
		for _, d := range daemons {
			tables[i] = append(tables[i], &series{name: c.String() + d.suffix()})
		}
	}
	for round := range rounds {
		for n, d := range daemons {
			if err := d.use(); err != nil {
				return err
			}
			for i, c := range apiCases() {
				fmt.Fprintf(os.Stderr, "\rbench: API builds, %d of %d: %-60s", round+1, rounds, tables[i][n].name)
				took, err := leaveOnce(dir, c)
				if err != nil {
					return fmt.Errorf("%s: %w", tables[i][n].name, err)
				}
				tables[i][n].add(took)
			}
		}
	}
	if err := measureWaiting(dir, daemons); err != nil {
		return err
	}
	fmt.Printf("\nFrom the end of an API build's client to the last of five emulated processes gone, %d each, taken in turn:\n\n", rounds)
	printTable(slices.Concat(tables...))
	return nil
}

// leaveOnce starts a build, has its client go, and returns how long after that the last of
// its processes was gone.
func leaveOnce(dir string, c apiCase) (time.Duration, error) {
	if c.busy {
		other, err := net.Dial("unix", apiSocket)
		if err != nil {
			return 0, err
		}
		defer other.Close()
		if _, err := io.WriteString(other, "GET /v4.0.0/libpod/events?stream=true HTTP/1.1\r\nHost: d\r\n\r\n"); err != nil {
			return 0, err
		}
	}
	client, err := startAPIClient(dir, c)
	if err != nil {
		return 0, err
	}
	defer func() {
		client.tidy()
		_ = exec.Command("sh", "-c", "podman rm --all --force --time 0; buildah rm --all; rm -rf /var/tmp/buildah*").Run()
	}()
	builds, err := waitForFamilies(1)
	if err != nil {
		return 0, err
	}
	detail, err := builds.Show(context.Background(), builds.ids[0])
	if err != nil {
		return 0, err
	}
	if c.bare {
		resume, err := replaceDaemon(client.pid, detail.Cgroup)
		if err != nil {
			return 0, err
		}
		defer resume()
	}
	var fds []int
	for _, p := range detail.ProcessTree {
		fd, err := unix.PidfdOpen(p.PID, 0)
		if err != nil {
			return 0, err
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
	}
	time.Sleep(300 * time.Millisecond) // so that what was just started is at rest
	left, err := client.leave()
	if err != nil {
		return 0, err
	}
	_, last, err := outlived(append([]int{-1}, fds...))
	return last.Sub(left), err
}

// families are builds that the daemon shows whole.
type families struct {
	*client.Client
	ids []string
}

// waitForFamilies waits until the daemon shows so many whole builds, and no other.
func waitForFamilies(n int) (families, error) {
	f := families{Client: client.New(api.ControlSocket)}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		builds, err := f.List(ctx)
		if err != nil {
			return f, err
		}
		f.ids = nil
		for _, b := range builds {
			if b.Processes >= familySize && b.State == api.StateRunning {
				f.ids = append(f.ids, b.ID)
			}
		}
		if len(f.ids) == n && len(builds) == n {
			return f, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// apiClient is one that waits for its build. leave returns when it has gone.
type apiClient struct {
	pid   int // 0 for one in this process
	leave func() (time.Time, error)
	tidy  func()
}

func startAPIClient(dir string, c apiCase) (*apiClient, error) {
	socket, conns := apiSocket, func() error { return nil }
	if c.end == disconnection && c.client == remote {
		r, err := newRelay(apiSocket)
		if err != nil {
			return nil, err
		}
		socket, conns = r.path, r.cut
	}
	if c.end == disconnection && c.client != remote {
		conn, err := post(socket, c.client, dir)
		if err != nil {
			return nil, err
		}
		return &apiClient{leave: leaving(conn.Close), tidy: func() {}}, nil
	}
	var cmd *exec.Cmd
	if c.client == remote {
		cmd = exec.Command("podman", "--remote", "--url", "unix://"+socket, "build", "--no-cache", "--network=none", "--platform=linux/arm64", dir)
	} else {
		cmd = exec.Command("/proc/self/exe", socket, c.client, dir)
		cmd.Env = append(os.Environ(), roleEnv+"=post")
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	tidy := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = conns()
	}
	if c.end == disconnection {
		return &apiClient{leave: leaving(conns), tidy: tidy}, nil
	}
	return &apiClient{pid: cmd.Process.Pid, tidy: tidy, leave: func() (time.Time, error) {
		fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
		if err != nil {
			return time.Time{}, err
		}
		defer unix.Close(fd)
		if err := cmd.Process.Kill(); err != nil {
			return time.Time{}, err
		}
		end, _, err := outlived([]int{fd})
		return end, err
	}}, nil
}

func leaving(leave func() error) func() (time.Time, error) {
	return func() (time.Time, error) {
		now := time.Now()
		return now, leave()
	}
}

// post asks for a build with the directory as its context.
func post(socket, endpoint, dir string) (net.Conn, error) {
	var context bytes.Buffer
	archive := tar.NewWriter(&context)
	if err := errors.Join(archive.AddFS(os.DirFS(dir)), archive.Close()); err != nil {
		return nil, err
	}
	path := map[string]string{dockersBuild: "/build", podmansBuild: "/v4.0.0/libpod/build"}[endpoint]
	request, err := http.NewRequest(http.MethodPost, "http://d"+path+"?forcerm=1&nocache=1&networkmode=none&dockerfile=Containerfile&platform=linux%2Farm64", &context)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-tar")
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return conn, request.Write(conn)
}

// postAndWait is a client of which nothing is known but that it can be killed.
func postAndWait(socket, endpoint, dir string) error {
	conn, err := post(socket, endpoint, dir)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}

// relay passes connections on to a socket until it is cut.
type relay struct {
	path     string
	listener net.Listener
	conns    chan net.Conn
}

func newRelay(target string) (*relay, error) {
	dir, err := os.MkdirTemp("", "relay")
	if err != nil {
		return nil, err
	}
	r := &relay{path: filepath.Join(dir, "podman.sock"), conns: make(chan net.Conn, 64)}
	if r.listener, err = net.Listen("unix", r.path); err != nil {
		return nil, err
	}
	go func() {
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
			r.conns <- far
			go func() { _, _ = io.Copy(far, near) }()
			go func() { _, _ = io.Copy(near, far); near.Close() }()
		}
	}()
	return r, nil
}

// cut closes all connections to the service.
func (r *relay) cut() error {
	r.listener.Close()
	defer os.RemoveAll(filepath.Dir(r.path))
	for {
		select {
		case conn := <-r.conns:
			conn.Close()
		default:
			return nil
		}
	}
}
