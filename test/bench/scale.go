package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// crowd are builds whose containers are stand-ins: a shell is the builder, another one
// the monitor, and for the OCI runtime there is a script that starts processes that sleep.
// What is ours is real: wrapper, scopes, daemon.
type crowd struct {
	dir    string
	cgroup string // of all builders and monitors
	builds []*exec.Cmd
	idle   []io.Closer // as long as they are open, monitors wait

	// Every process of the crowd holds out open.
	out    *os.File
	placed chan struct{}
	gone   chan time.Time // when the last of them has ended
}

// monitors wait for their own end after their container has been made. $0 is the wrapper, $1 the
// bundle, $2 the container's ID.
const (
	builderScript = `(exec -a buildah-oci-runtime bash -c "$0" "$@"); :`
	monitorScript = `"$0" create --bundle "$1" --pid-file "$1/pid" "$2" && echo placed && read x`
	runtimeScript = "#!/bin/sh\ni=0\nwhile [ $i -lt ${MEMBERS:-20} ]; do %s sleep 36000 & i=$((i+1)); done\n"

	crowdConf = "/etc/containers/containers.conf.d/99-bench.conf"
)

func newCrowd() (*crowd, error) {
	dir, err := makeRoot()
	if err != nil {
		return nil, err
	}
	runtime := filepath.Join(dir, "runtime")
	c := &crowd{dir: dir, cgroup: "/sys/fs/cgroup/bench", placed: make(chan struct{}, 1<<16), gone: make(chan time.Time, 1)}
	out, in, err := os.Pipe()
	c.out = in
	if err != nil {
		return nil, err
	}
	busybox := filepath.Join(dir, "busybox")
	spec := exec.Command(bareRuntime, "spec")
	spec.Dir = dir
	err = errors.Join(
		spec.Run(),
		os.Chmod(dir, 0o755),
		os.Rename(filepath.Join(dir, "rootfs", "bin", "sh"), busybox), // which is what it is called
		os.WriteFile(runtime, fmt.Appendf(nil, runtimeScript, busybox), 0o755),
		os.WriteFile(crowdConf, fmt.Appendf(nil, "[engine.runtimes]\ncrun = [%q, %q]\n", wrappedRuntime, runtime), 0o644),
		os.MkdirAll(c.cgroup, 0o755),
	)
	if err != nil {
		return nil, err
	}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			c.placed <- struct{}{}
		}
		c.gone <- time.Now()
	}()
	return c, nil
}

func (c *crowd) close() {
	_ = c.abandon()
	for _, b := range c.builds {
		_ = b.Wait()
	}
	_ = os.Remove(crowdConf)
	_ = os.Remove(c.cgroup)
	_ = os.RemoveAll(c.dir)
}

// abandon ends all builders and monitors in one moment.
func (c *crowd) abandon() error {
	if c.out != nil {
		c.out.Close()
		c.out = nil
	}
	return os.WriteFile(c.cgroup+"/cgroup.kill", []byte("1"), 0)
}

// bundle makes what a container is made of.
func (c *crowd) bundle(id string, uid uint32) (string, error) {
	bundle := filepath.Join(c.dir, id)
	config, err := os.ReadFile(filepath.Join(c.dir, "config.json"))
	return bundle, errors.Join(err,
		os.Mkdir(bundle, 0o755), os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o644),
		os.Chown(bundle, int(uid), int(uid)), os.Chown(filepath.Join(bundle, "config.json"), int(uid), int(uid)))
}

// start starts a build of a user's with so many processes in its container, and returns when
// its container was made. Without the wait, others may be started meanwhile.
func (c *crowd) start(uid uint32, members int) (took time.Duration, err error) {
	id := fmt.Sprintf("buildah-buildah%d", 1000000+len(c.builds))
	bundle, err := c.bundle(id, uid)
	if err != nil {
		return 0, err
	}
	cgroup, err := os.Open(c.cgroup)
	if err != nil {
		return 0, err
	}
	defer cgroup.Close()
	cmd := exec.Command("bash", "-c", builderScript, monitorScript, wrappedRuntime, bundle, id)
	cmd.Env = append(os.Environ(), "MEMBERS="+strconv.Itoa(members), "HOME=/")
	cmd.Stdout, cmd.Stderr = c.out, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd()), Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	c.builds, c.idle = append(c.builds, cmd), append(c.idle, stdin)
	select {
	case <-c.placed:
		return time.Since(started), nil
	case <-time.After(time.Minute):
		return 0, fmt.Errorf("container %s was not made", id)
	}
}

// grow starts root's builds until there are n.
func (c *crowd) grow(n, members int) error {
	for len(c.builds) < n {
		fmt.Fprintf(os.Stderr, "\rbench: build %d of %d ", len(c.builds)+1, n)
		if _, err := c.start(0, members); err != nil {
			return err
		}
	}
	return nil
}

// measureScale prints what a crowd of builds costs, and how fast it is ended.
func measureScale(builds, members int) error {
	c, err := newCrowd()
	if err != nil {
		return err
	}
	defer c.close()
	fmt.Printf("\nOf so many builds with %d processes each, the daemon:\n\n%8s  %10s  %8s  %12s  %12s\n", members, "builds", "resident", "threads", "CPU for each", "made, median")
	for _, n := range []int{10, builds / 10, builds} {
		if n <= len(c.builds) {
			continue
		}
		before, err := daemonsCPUTime()
		if err != nil {
			return err
		}
		made, had := &series{}, len(c.builds)
		for len(c.builds) < n {
			fmt.Fprintf(os.Stderr, "\rbench: build %d of %d ", len(c.builds)+1, n)
			took, err := c.start(0, members)
			if err != nil {
				return err
			}
			made.add(took)
		}
		after, err := daemonsCPUTime()
		if err != nil {
			return err
		}
		status, err := daemonsStatus()
		if err != nil {
			return err
		}
		fmt.Printf("\r%8d  %6.1f MiB  %8d  %12s  %12s\n", n, float64(status["VmRSS"])/1024, status["Threads"], ms((after-before)/time.Duration(n-had)), ms(made.quantile(0.5)))
	}
	list, err := client.New(api.ControlSocket).List(context.Background())
	if err != nil {
		return err
	}
	if len(list) != len(c.builds) {
		return fmt.Errorf("%d builds are listed of %d", len(list), len(c.builds))
	}
	asking := &asking{list: &series{name: "list"}, scrape: &series{name: "scrape"}}
	if err := asking.ask(20, nil); err != nil {
		return err
	}
	fmt.Printf("\nAnswers while all of them run:\n\n")
	printTable([]*series{asking.list, asking.scrape})

	asking.list, asking.scrape = &series{name: "list"}, &series{name: "scrape"}
	over := make(chan struct{})
	var meanwhile sync.WaitGroup
	var askErr error
	meanwhile.Go(func() { askErr = asking.ask(1<<20, over) })
	left := time.Now()
	if err := c.abandon(); err != nil {
		return err
	}
	gone := <-c.gone
	close(over)
	meanwhile.Wait()
	fmt.Printf("\nAll abandoned in one moment: the last of %d processes is gone after %s. Answers meanwhile:\n\n", builds*members, ms(gone.Sub(left)))
	if askErr != nil {
		return askErr
	}
	printTable([]*series{asking.list, asking.scrape})
	return afterwards()
}

// afterwards prints what the daemon is like when nothing is left to it.
func afterwards() error {
	started := time.Now()
	for {
		list, err := client.New(api.ControlSocket).List(context.Background())
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Printf("\nNone is listed %s later.", ms(time.Since(started)))
	time.Sleep(90 * time.Second) // until it rests
	before, err := daemonsStatus()
	cpu, cpuErr := daemonsCPUTime()
	time.Sleep(30 * time.Second)
	after, afterErr := daemonsStatus()
	cpuAfter, cpuAfterErr := daemonsCPUTime()
	if err := errors.Join(err, cpuErr, afterErr, cpuAfterErr); err != nil {
		return err
	}
	fmt.Printf(" At rest afterwards, in 30 s: %s of CPU time, %d context switches; %.1f MiB resident, %d threads, %d descriptors\n",
		ms(cpuAfter-cpu), after["switches"]-before["switches"], float64(after["VmRSS"])/1024, after["Threads"], after["descriptors"])
	return nil
}

// asking is how long answers of the daemon take.
type asking struct{ list, scrape *series }

// ask asks n times, or until it is over.
func (a *asking) ask(n int, over <-chan struct{}) error {
	c := client.New(api.ControlSocket)
	for range n {
		select {
		case <-over:
			return nil
		default:
		}
		began := time.Now()
		if _, err := c.List(context.Background()); err != nil {
			return err
		}
		a.list.add(time.Since(began))
		began = time.Now()
		response, err := http.Get("http://127.0.0.1:16786/metrics")
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil {
			return err
		}
		a.scrape.add(time.Since(began))
	}
	return nil
}

// daemonsStatus are numbers of the daemon's process.
func daemonsStatus() (map[string]int, error) {
	pid, err := exec.Command("systemctl", "show", "-P", "MainPID", "buildwatchd.service").Output()
	if err != nil {
		return nil, err
	}
	dir := "/proc/" + strings.TrimSpace(string(pid))
	numbers := map[string]int{}
	descriptors, err := os.ReadDir(dir + "/fd")
	numbers["descriptors"] = len(descriptors)
	tasks, globErr := filepath.Glob(dir + "/task/*/status")
	if err := errors.Join(err, globErr); err != nil {
		return nil, err
	}
	for i, file := range append([]string{dir + "/status"}, tasks...) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for line := range bytes.Lines(text) {
			name, value, _ := strings.Cut(string(line), ":")
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			switch {
			case err != nil:
			case i == 0:
				numbers[name] = n
			case strings.HasSuffix(name, "ctxt_switches"):
				numbers["switches"] += n
			}
		}
	}
	return numbers, nil
}

// measureOneScope prints how fast one build of very many processes is gone, beside the least
// that ends it.
func measureOneScope(members int) error {
	fmt.Printf("\nOne build of %d processes, from its owner's end to the last of them gone:\n\n", members)
	all := []*series{{name: "floor: cgroup.kill alone"}, {name: "buildwatchd"}}
	for range 2 {
		for kind := range all {
			took, err := endOneScope(members, kind == 0)
			if err != nil {
				return err
			}
			all[kind].add(took)
		}
	}
	printTable(all)
	return nil
}

func endOneScope(members int, bare bool) (time.Duration, error) {
	c, err := newCrowd()
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.grow(1, members); err != nil {
		return 0, err
	}
	list, err := client.New(api.ControlSocket).List(context.Background())
	if err != nil || len(list) != 1 {
		return 0, fmt.Errorf("%d builds are listed: %w", len(list), err)
	}
	left := time.Now()
	if bare {
		if err := os.WriteFile("/sys/fs/cgroup"+list[0].Cgroup+"/cgroup.kill", []byte("1"), 0); err != nil {
			return 0, err
		}
	}
	if err := c.abandon(); err != nil {
		return 0, err
	}
	gone := <-c.gone
	return gone.Sub(left), nil
}

// measureRate prints how many calls a second are passed through, by as many callers as there
// are processors and more.
func measureRate(lasts time.Duration) error {
	const callers = 16
	fmt.Printf("\nCalls that are passed through, by %d callers at once:\n\n", callers)
	for range 2 {
		for _, runtime := range []string{bareRuntime, wrappedRuntime} {
			var calls, failed atomic.Int64
			var running sync.WaitGroup
			until := time.Now().Add(lasts)
			for range callers {
				running.Go(func() {
					for time.Now().Before(until) {
						if exec.Command(runtime, "--version").Run() != nil {
							failed.Add(1)
						}
						calls.Add(1)
					}
				})
			}
			running.Wait()
			fmt.Printf("%s\t%.0f a second, %d failed\n", runtime, float64(calls.Load())/lasts.Seconds(), failed.Load())
			if failed.Load() > 0 {
				return fmt.Errorf("%d of %d calls of %s failed", failed.Load(), calls.Load(), runtime)
			}
		}
	}
	return nil
}

// measureNeighbour prints how long a user's step takes to be made, alone and while root has
// many builds and begins more.
func measureNeighbour(builds, steps int) error {
	const neighbour = 1000
	alone, beside := &series{name: "nobody else builds"}, &series{name: fmt.Sprintf("beside %d builds of root's, which begins more", builds)}
	quiet, err := newCrowd()
	if err != nil {
		return err
	}
	for range steps {
		took, err := quiet.start(neighbour, 1)
		if err != nil {
			return err
		}
		alone.add(took)
	}
	quiet.close()
	if err := afterAll(); err != nil {
		return err
	}
	many, err := newCrowd()
	if err != nil {
		return err
	}
	defer many.close()
	if err := many.grow(builds, 1); err != nil {
		return err
	}
	few, err := newCrowd()
	if err != nil {
		return err
	}
	defer few.close()
	over := make(chan struct{})
	var beginning sync.WaitGroup
	var growErr error
	beginning.Go(func() {
		for growErr == nil {
			select {
			case <-over:
				return
			default:
				growErr = many.grow(len(many.builds)+1, 1)
			}
		}
	})
	for range steps {
		took, err := few.start(neighbour, 1)
		if err != nil {
			return err
		}
		beside.add(took)
	}
	close(over)
	beginning.Wait()
	fmt.Printf("\nA user's step, from the builder's start to its container made:\n\n")
	printTable([]*series{alone, beside})
	return growErr
}

// afterAll waits until no build is listed.
func afterAll() error {
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		if list, err := client.New(api.ControlSocket).List(context.Background()); err != nil || len(list) == 0 {
			return err
		}
	}
	return errors.New("builds are left")
}
