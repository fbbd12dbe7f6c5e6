package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// How long the daemon is left alone before its CPU time is measured, and how long that is.
const (
	settling = 7 * time.Second // who lists builds has them looked at for some seconds more
	waiting  = 20 * time.Second
)

// measureWaiting prints what CPU time the daemons take while builds run whose steps sleep.
func measureWaiting(dir string, daemons []daemon) error {
	const apiBuilds = 10
	fmt.Printf("\nThe daemon's CPU time in %s of builds whose steps sleep:\n\n", waiting)
	for _, d := range daemons {
		if err := d.use(); err != nil {
			return err
		}
		for _, n := range []int{apiBuilds, 1, 0} { // a daemon that has just begun has more to do
			what, start := fmt.Sprintf("%d API builds", n), func() (func(), error) { return startAPIBuilds(dir, n) }
			if n == 1 {
				what, start = "a local build", func() (func(), error) { return startLocalBuild(dir) }
			}
			if err := clearAway(); err != nil {
				return err
			}
			stop, err := start()
			if err != nil {
				return err
			}
			took, err := cpuTimeOfWaiting(n)
			stop()
			if err != nil {
				return err
			}
			fmt.Printf("%s%s\t%s, %.2f %% of a CPU\n", what, d.suffix(), ms(took), 100*float64(took)/float64(waiting))
		}
	}
	return nil
}

// clearAway ends the service and waits until the daemon looks for nothing of an earlier build in storage any more: that
// is work, too, and of a service's builds it begins when the service has ended.
func clearAway() error {
	_ = exec.Command("sh", "-c", "systemctl stop podman.service; podman rm --all --force --time 0; buildah rm --all; rm -rf /var/tmp/buildah*").Run()
	for quiet := 0; quiet < 5; quiet++ {
		out, err := exec.Command("systemctl", "list-units", "--all", "--plain", "--no-legend", "buildwatch-reclaim-*").Output()
		if err != nil {
			return err
		}
		if len(out) > 0 {
			quiet = 0
		}
		time.Sleep(time.Second)
	}
	return nil
}

func startAPIBuilds(dir string, n int) (stop func(), err error) {
	var clients []*apiClient
	stop = func() {
		for _, c := range clients {
			_, _ = c.leave()
			c.tidy()
		}
	}
	for range n {
		c, err := startAPIClient(dir, apiCase{client: dockersBuild, end: disconnection})
		if err != nil {
			stop()
			return nil, err
		}
		clients = append(clients, c)
	}
	return stop, nil
}

func startLocalBuild(dir string) (stop func(), err error) {
	podman := exec.Command("podman", "build", "--network=none", "--platform=linux/arm64", dir)
	return func() { _ = podman.Process.Kill(); _ = podman.Wait() }, podman.Start()
}

func cpuTimeOfWaiting(builds int) (time.Duration, error) {
	if _, err := waitForFamilies(builds); err != nil {
		return 0, err
	}
	time.Sleep(settling)
	before, err := daemonsCPUTime()
	time.Sleep(waiting)
	after, afterErr := daemonsCPUTime()
	return after - before, errors.Join(err, afterErr)
}

// daemonsCPUTime is that of all its threads, by the scheduler's count.
//
// Source: linux, Documentation/scheduler/sched-stats.rst, /proc/PID/schedstat.
func daemonsCPUTime() (time.Duration, error) {
	pid, err := exec.Command("systemctl", "show", "-P", "MainPID", "buildwatchd.service").Output()
	if err != nil {
		return 0, err
	}
	files, err := filepath.Glob("/proc/" + strings.TrimSpace(string(pid)) + "/task/*/schedstat")
	if err != nil {
		return 0, err
	}
	var all time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.Atoi(first)
		if err != nil {
			return 0, err
		}
		all += time.Duration(n)
	}
	return all, nil
}
