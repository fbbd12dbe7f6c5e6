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
	"time"
)

// storageOf is what the storage takes on the disk, in KiB.
func storageOf() (int, error) {
	out, err := exec.Command("du", "--summarize", "--block-size=1K", "/var/lib/containers/storage").Output()
	if err != nil {
		return 0, err
	}
	size, _, _ := strings.Cut(string(out), "\t")
	return strconv.Atoi(size)
}

// leftInStorage is how many working containers there are.
func leftInStorage() (int, error) {
	out, err := exec.Command("podman", "ps", "--all", "--external", "--quiet").Output()
	return strings.Count(string(out), "\n"), err
}

// untilTidy waits until no working container is left, and the daemon has looked after all builds.
func untilTidy() error {
	for until := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		left, err := leftInStorage()
		known, _ := filepath.Glob("/var/lib/buildwatch/reclaim/*.json")
		if err != nil || left == 0 && len(known) == 0 {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("%d working containers are left after 2 minutes", left)
		}
	}
}

// measureStorage cancels builds in a row, and prints what the storage takes.
func measureStorage(rounds int) error {
	dir, err := contextDir(family)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Printf("\n%-10s  %12s  %s\n", "cancels", "storage", "working containers")
	for round := 1; round <= rounds; round++ { // the first leaves its cache
		if err := cancelBuild(dir); err != nil {
			return err
		}
		if round != 1 && round%max(1, rounds/8) != 0 && round != rounds {
			continue
		}
		if err := untilTidy(); err != nil {
			return err
		}
		size, err := storageOf()
		left, leftErr := leftInStorage()
		if err := errors.Join(err, leftErr); err != nil {
			return err
		}
		fmt.Printf("%-10d  %8d KiB  %d\n", round, size, left)
	}
	return nil
}

// compareNextBuild measures a build with cache right after a cancel, in pairs: with a daemon that
// reclaims and with one that does not, each first in every other pair.
func compareNextBuild(pairs int) error {
	const cached = "FROM scratch\nCOPY --chmod=755 busybox /bin/busybox\nCOPY --chmod=755 busybox /bin/sh\nRUN echo 1 >/1\nRUN echo 2 >/2\n"
	dir, err := contextDir(cached)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	hanging, err := contextDir(cached + "RUN /bin/busybox sleep 1001\n")
	if err != nil {
		return err
	}
	defer os.RemoveAll(hanging)
	if out, err := build(dir).CombinedOutput(); err != nil {
		return fmt.Errorf("a build: %w: %s", err, out)
	}
	if err := untilTidy(); err != nil { // a daemon that reclaims nothing would not look after it
		return err
	}
	all := []*series{{name: `reclaim = "off"`}, {name: `reclaim = "own"`}}
	ratios := make([]float64, 0, pairs)
	for round := range 2 * pairs {
		kind := (round + round/2) % 2 // off, own, own, off …
		fmt.Fprintf(os.Stderr, "\rbench: build after a cancel, %d of %d ", round/2+1, pairs)
		took, err := nextBuild(hanging, dir, []string{"off", "own"}[kind])
		if err != nil {
			return err
		}
		all[kind].add(took)
		if round%2 == 1 {
			ratios = append(ratios, float64(all[1].last())/float64(all[0].last()))
		}
	}
	fmt.Fprintln(os.Stderr)
	fmt.Printf("\nA build with cache right after a cancel, %d pairs, each first in every other one:\n\n", pairs)
	printTable(all)
	slices.Sort(ratios)
	fmt.Printf("\nOf the pairs' ratios: median %.2fx, a quarter below %.2fx, a quarter above %.2fx\n",
		ratios[len(ratios)/2], ratios[len(ratios)/4], ratios[len(ratios)*3/4])
	return os.Remove(reclaimFile)
}

// nextBuild is how long a build takes right after the cancel of one that hangs.
func nextBuild(hanging, dir, mode string) (time.Duration, error) {
	if err := setReclaim(mode); err != nil {
		return 0, err
	}
	if err := cancelBuild(hanging); err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := build(dir).Run(); err != nil {
		return 0, err
	}
	took := time.Since(begun)
	if mode == "off" {
		_ = exec.Command("sh", "-c", "buildah rm --all; rm -rf /var/tmp/buildah*").Run()
	}
	return took, untilTidy()
}

const reclaimFile = "/etc/buildwatch/buildwatchd.toml.d/bench.toml"

func setReclaim(mode string) error {
	return errors.Join(
		os.MkdirAll(filepath.Dir(reclaimFile), 0o755),
		os.WriteFile(reclaimFile, fmt.Appendf(nil, "[storage]\nreclaim = %q\n", mode), 0o644),
		command("systemctl", "reload", "buildwatchd.service"),
	)
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, out)
	}
	return nil
}

func build(dir string) *exec.Cmd {
	return exec.Command("podman", "build", "--layers", "--network=none", "--platform=linux/arm64", dir)
}

// cancelBuild starts a build, and kills its owner when its last step runs.
func cancelBuild(dir string) error {
	podman := build(dir)
	if err := podman.Start(); err != nil {
		return err
	}
	defer func() { _ = podman.Wait() }()
	for until := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if exec.Command("pgrep", "--full", "busybox sleep 1001$").Run() == nil {
			return podman.Process.Kill()
		}
		if time.Now().After(until) {
			_ = podman.Process.Kill()
			return errors.New("the build's last step does not run")
		}
	}
}

// contextDir makes a build's context with busybox in it.
func contextDir(containerfile string) (string, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return "", err
	}
	busybox, err := os.ReadFile(filepath.Join(busyboxes, "arm64", "busybox"))
	return dir, errors.Join(
		err,
		os.WriteFile(filepath.Join(dir, "busybox"), busybox, 0o755),
		os.WriteFile(filepath.Join(dir, "Containerfile"), []byte(containerfile), 0o644),
	)
}
