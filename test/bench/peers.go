package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// peer is a way to build, beside ours.
type peer struct {
	name  string
	build []string // the command; the context comes last
	bare  bool     // without buildwatchd
}

var peers = []peer{
	{"podman alone", []string{"podman", "build", "--no-cache", "--network=none", "--platform=linux/arm64", "--file", "Containerfile"}, true},
	{"podman with buildwatch", []string{"podman", "build", "--no-cache", "--network=none", "--platform=linux/arm64", "--file", "Containerfile"}, false},
	{"docker with BuildKit", []string{"docker", "buildx", "build", "--no-cache", "--network=none", "--platform=linux/arm64", "--file", "Containerfile"}, false},
}

// patience is how long what a cancelled build has left is waited for.
const patience = 10 * time.Second

// measurePeers cancels the same emulated build with each, in turn, and prints one table.
func measurePeers(rounds int) error {
	dir, err := contextDir(family)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := startDocker(); err != nil {
		return err
	}
	signals := []unix.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGKILL}
	times, left := map[string]*series{}, map[string]int{}
	key := func(p peer, s unix.Signal) string { return p.name + ", " + unix.SignalName(s) }
	for round := range rounds {
		for _, signal := range signals {
			for _, p := range peers {
				fmt.Fprintf(os.Stderr, "\rbench: %d of %d: %-40s", round+1, rounds, key(p, signal))
				took, survivors, err := cancelPeer(dir, p, signal)
				if err != nil {
					return fmt.Errorf("%s: %w", key(p, signal), err)
				}
				k := key(p, signal)
				if times[k] == nil {
					times[k] = &series{name: k}
				}
				times[k].add(took)
				left[k] = max(left[k], survivors)
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	fmt.Printf("\nThe same emulated build of five processes, cancelled %d times each, taken in turn; from the signal to the last process gone:\n\n", rounds)
	fmt.Printf("%-32s  %12s  %12s  %s\n", "", "median", "most", fmt.Sprintf("left after %s", patience))
	for _, signal := range signals {
		for _, p := range peers {
			s := times[key(p, signal)]
			if n := left[s.name]; n > 0 {
				fmt.Printf("%-32s  %12s  %12s  %d of 5 processes\n", s.name, "-", "-", n)
				continue
			}
			fmt.Printf("%-32s  %12s  %12s  none\n", s.name, ms(s.quantile(0.5)), ms(s.quantile(1)))
		}
	}
	return nil
}

// startDocker starts Docker without a network, and with its storage in memory: an overlay
// can't be in another one.
func startDocker() error {
	const conf = `{"iptables": false, "ip6tables": false, "bridge": "none"}`
	if err := os.MkdirAll("/etc/docker", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile("/etc/docker/daemon.json", []byte(conf), 0o644); err != nil {
		return err
	}
	return command("sh", "-ec", "mkdir -p /var/lib/docker; mount -t tmpfs none /var/lib/docker; systemctl start docker.service")
}

// cancelPeer starts a build, sends its client the signal, and says after how long nothing of
// the build was left, or how many processes were.
func cancelPeer(dir string, p peer, signal unix.Signal) (took time.Duration, survivors int, err error) {
	if p.bare {
		if err := command("systemctl", "stop", "buildwatchd.socket", "buildwatchd.service"); err != nil {
			return 0, 0, err
		}
		defer func() { _ = command("systemctl", "start", "buildwatchd.socket", "buildwatchd.service") }()
	}
	build := exec.Command(p.build[0], append(slices.Clone(p.build[1:]), dir)...)
	build.Dir = dir
	if err := build.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = build.Process.Kill()
		_ = build.Wait()
		_ = exec.Command("sh", "-c", "podman rm --all --force --time 0; buildah rm --all; rm -rf /var/tmp/buildah*").Run()
	}()
	held, err := waitForSleepers()
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		for _, h := range held {
			_ = h.Signal(unix.SIGKILL)
			h.Close()
		}
	}()
	time.Sleep(300 * time.Millisecond) // so that what was just started is at rest
	sent := time.Now()
	if err := build.Process.Signal(signal); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, h := range held {
		if h.Wait(ctx) != nil {
			survivors++
		}
	}
	return time.Since(sent), survivors, nil
}

// sleeper is how the command lines of family's processes look.
var sleeper = regexp.MustCompile(`(^|/)(busybox|sh)\b.* sleep 100[1-4]\b`)

// waitForSleepers waits until the family is there, and holds it.
func waitForSleepers() (held []*proc.Handle, err error) {
	for until := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		files, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return nil, err
		}
		var pids []int
		for _, file := range files {
			line, _ := os.ReadFile(file)
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err == nil && sleeper.MatchString(strings.ReplaceAll(string(line), "\x00", " ")) {
				pids = append(pids, pid)
			}
		}
		if len(pids) == familySize {
			for _, pid := range pids {
				h, err := proc.Open(pid)
				if err != nil {
					return nil, err
				}
				held = append(held, h)
			}
			return held, nil
		}
		if time.Now().After(until) {
			return nil, fmt.Errorf("%d processes of the build run", len(pids))
		}
	}
}
