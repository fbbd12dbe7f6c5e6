package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// busyboxes is where the test machine has static busyboxes.
const busyboxes = "/usr/share/buildwatch-test"

// arches are those that the builds are for: the machine's own, and one that is emulated.
var arches = []string{"amd64", "arm64"}

// world is what the builds share, and what was seen of them.
type world struct {
	dir       string
	bystander string // the PID of a container of podman run, which nobody may touch

	mu         sync.Mutex
	violations int
	builds     map[string]int // by what became of them
	broken     map[string]int // by what was done to the daemon
	slowest    time.Duration  // from a build's end until nothing was left
}

func newWorld() (*world, error) {
	dir, err := os.MkdirTemp("/var/tmp", "chaos")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, builds: map[string]int{}, broken: map[string]int{}}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	for _, arch := range arches {
		for _, line := range []string{
			fmt.Sprintf("mkdir -p %s/%s && cp %s/%[2]s/busybox %[1]s/%[2]s/busybox", dir, arch, busyboxes),
			fmt.Sprintf("printf 'FROM scratch\\nCOPY --chmod=755 busybox /bin/busybox\\nCOPY --chmod=755 busybox /bin/sh\\n' >%s/%s/Containerfile", dir, arch),
		} {
			if out, err := sh(line); err != nil {
				return nil, fmt.Errorf("%w: %s", err, out)
			}
		}
	}
	if out, err := sh("systemd-run --quiet --unit=chaos-api --property=KillMode=process podman system service --time=0 unix:///run/chaos-api.sock"); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	if out, err := sh("podman build --quiet --tag chaos-base --network=none --platform linux/amd64 " + dir + "/amd64 && podman run --detach --name chaos-bystander --network=none --pids-limit=0 chaos-base /bin/busybox sleep 100000"); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	w.bystander, err = sh("podman inspect --format '{{.State.Pid}}' chaos-bystander")
	return w, err
}

func (w *world) close() {
	_, _ = sh("podman rm --force --time 0 chaos-bystander; systemctl stop chaos-api.service; rm -rf " + w.dir)
}

func sh(line string) (string, error) {
	out, err := exec.Command("bash", "-c", line).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// violated tells of a law that was broken.
func (w *world) violated(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations++
	fmt.Printf("%s VIOLATION: %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (w *world) count(of map[string]int, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of[what]++
}

func (w *world) tookToEnd(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slowest = max(w.slowest, d)
}

func (w *world) summary() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := func(of map[string]int) string {
		var parts []string
		for what, n := range of {
			parts = append(parts, fmt.Sprintf("%s %d", what, n))
		}
		slices.Sort(parts)
		return strings.Join(parts, ", ")
	}
	return fmt.Sprintf("builds: %s\ndaemon: %s\nnothing was left %v after an end at the latest\n%d violations",
		list(w.builds), list(w.broken), w.slowest.Round(time.Millisecond), w.violations)
}

// traces are what builds must not leave behind.
type traces struct {
	scopes      string
	cgroups     string
	descriptors int
	threads     int
}

// settle waits until the daemon has no build any more, and looks what there is then.
func (w *world) settle() (traces, error) {
	var t traces
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		_, _ = sh("systemctl reset-failed buildwatchd.service; systemctl start buildwatchd.socket buildwatchd.service")
		listed, err := sh("buildwatchctl list --quiet")
		if err == nil && listed == "" {
			break
		}
		if time.Now().After(deadline) {
			return t, fmt.Errorf("after a minute there is still a build: %s, %w", listed, errors.Join(err, errBuilds))
		}
	}
	pid, err := sh("systemctl show --property=MainPID --value buildwatchd.service")
	if err != nil {
		return t, err
	}
	t.scopes, _ = sh("systemctl list-units --plain --no-legend 'buildwatch-*.scope' | cut -d' ' -f1")
	t.cgroups, _ = sh("find /sys/fs/cgroup -type d '(' -name 'buildwatch-*.scope' -o -name '*buildah-buildah*' ')'")
	descriptors, err := os.ReadDir(filepath.Join("/proc", pid, "fd"))
	if err != nil {
		return t, err
	}
	threads, err := os.ReadDir(filepath.Join("/proc", pid, "task"))
	t.descriptors, t.threads = len(descriptors), len(threads)
	return t, err
}

// errBuilds is what the daemon has that it should not have any more.
var errBuilds = errors.New("it is listed")

// slack is how many descriptors and threads more one daemon may have than another one.
const slack = 16

// compare looks whether anything was left behind.
func (w *world) compare(before, after traces) {
	if after.scopes != before.scopes || after.cgroups != before.cgroups {
		w.violated("scopes and cgroups are left: %s %s", after.scopes, after.cgroups)
	}
	if after.descriptors > before.descriptors+slack || after.threads > before.threads+slack {
		w.violated("the daemon had %d descriptors and %d threads, and has %d and %d", before.descriptors, before.threads, after.descriptors, after.threads)
	}
	if pid, _ := sh("podman inspect --format '{{.State.Pid}}' chaos-bystander"); pid != w.bystander {
		w.violated("the container of podman run was %s and is %s", w.bystander, pid)
	}
}

// having lists the processes whose command line has a mark in it.
func having(mark string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		content, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err == nil && strings.Contains(string(content), mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}
