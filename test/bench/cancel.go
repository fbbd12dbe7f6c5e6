package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/client"
)

// busyboxes is where the test machine has static busyboxes.
const busyboxes = "/usr/share/buildwatch-test"

// family is a shell and four sleeps, all emulated.
const family = `FROM scratch
COPY --chmod=755 busybox /bin/busybox
COPY --chmod=755 busybox /bin/sh
RUN /bin/busybox sleep 1001 & /bin/busybox sleep 1002 & /bin/busybox sleep 1003 & /bin/busybox sleep 1004 & wait
`

const familySize = 5

// measureCancels cancels builds, in turn with the daemon and with a bare program
// in its place, and by several signals.
func measureCancels(rounds int) (*cancels, error) {
	dir, err := contextDir(family)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	const bare, watched = "floor: a bare program, pidfd and cgroup.kill", "buildwatchd"
	c := &cancels{
		fromDeath:  []*series{{name: bare}, {name: watched}},
		fromSignal: []*series{{name: "SIGKILL, " + bare}, {name: "SIGKILL, " + watched}, {name: "SIGINT, " + watched}, {name: "SIGTERM, " + watched}},
	}
	for round := range rounds {
		fmt.Fprintf(os.Stderr, "\rbench: cancel %d of %d", round+1, rounds)
		for kind, signal := range []unix.Signal{unix.SIGKILL, unix.SIGKILL, unix.SIGINT, unix.SIGTERM} {
			fromDeath, fromSignal, err := cancelOnce(dir, signal, kind == 0)
			if err != nil {
				return nil, err
			}
			if signal == unix.SIGKILL {
				c.fromDeath[kind].add(fromDeath)
			}
			c.fromSignal[kind].add(fromSignal)
		}
	}
	fmt.Fprintln(os.Stderr)
	return c, nil
}

// cancels are the times of the cancels, from two points on.
type cancels struct{ fromDeath, fromSignal []*series }

// cancelOnce starts a build, sends its owner the signal, and returns how long
// after the owner's death, and after the signal, the last of its processes was
// gone. bare stops the daemon meanwhile and has a program do the least that ends
// the build's cgroup.
func cancelOnce(dir string, signal unix.Signal, bare bool) (fromDeath, fromSignal time.Duration, err error) {
	podman := exec.Command("podman", "build", "--network=none", "--platform=linux/arm64", dir)
	if err := podman.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = podman.Process.Kill()
		_ = podman.Wait()
		_ = exec.Command("sh", "-c", "podman rm --all --force --time 0; buildah rm --all; rm -rf /var/tmp/buildah*").Run()
	}()
	view, processes, err := waitForFamily(podman.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	pids := []int{podman.Process.Pid}
	for _, p := range processes {
		pids = append(pids, p.PID)
	}
	var fds []int
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			return 0, 0, err
		}
		defer unix.Close(fd)
		fds = append(fds, fd)
	}
	if bare {
		resume, err := replaceDaemon(podman.Process.Pid, view.Cgroup)
		if err != nil {
			return 0, 0, err
		}
		defer resume()
	}
	time.Sleep(100 * time.Millisecond) // so that what was just started is at rest
	sent := time.Now()
	if err := podman.Process.Signal(signal); err != nil {
		return 0, 0, err
	}
	owner, last, err := outlived(fds)
	return last.Sub(owner), last.Sub(sent), err
}

// replaceDaemon stops the daemon until resume is called, and has a program end the cgroup with
// the owner.
func replaceDaemon(owner int, cgroup string) (resume func(), err error) {
	if err := command("systemctl", "kill", "--signal=STOP", "buildwatchd.service"); err != nil {
		return nil, err
	}
	goOn := func() { _ = command("systemctl", "kill", "--signal=CONT", "buildwatchd.service") }
	killer, err := startRole("floor", fmt.Sprint(owner), "/sys/fs/cgroup"+cgroup+"/cgroup.kill")
	if err != nil {
		goOn()
		return nil, err
	}
	return func() {
		_ = killer.Process.Kill()
		_ = killer.Wait()
		goOn()
	}, nil
}

// outlived waits for the end of all processes, and returns when the first of
// them ended, which may be left out (-1), and when the last of the others did.
func outlived(pidfds []int) (owner, last time.Time, err error) {
	waiting := make([]unix.PollFd, len(pidfds))
	left := 0
	for i, fd := range pidfds {
		waiting[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		if fd >= 0 {
			left++
		}
	}
	for left > 0 {
		n, err := unix.Poll(waiting, 10_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return owner, last, fmt.Errorf("%d processes are left after 10 s: %w", left, err)
		}
		now := time.Now()
		for i := range waiting {
			if waiting[i].Revents == 0 {
				continue
			}
			if i == 0 {
				owner = now
			} else {
				last = now
			}
			waiting[i] = unix.PollFd{Fd: -1}
			left--
		}
	}
	return owner, last, nil
}

// waitForFamily waits until the daemon shows the whole family.
func waitForFamily(owner int) (api.Build, []api.Process, error) {
	c := client.New(api.ControlSocket)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		builds, err := c.List(ctx)
		if err != nil {
			return api.Build{}, nil, err
		}
		for _, b := range builds {
			if b.Owner.PID != owner || b.Processes < familySize {
				continue
			}
			detail, err := c.Show(ctx, b.ID)
			return b, detail.ProcessTree, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
