package machine

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A suite that changes from week to week has pins: the versions that the tests
// are known to pass with, and from where a mirror that still holds them gives
// them. What it no longer holds is as new as it comes, and Moved says so.

//go:embed pins.sh
var pinsScript []byte

// Known to pass; `testmachine pins --suite forky` writes what is there now.
//
//go:embed forky.pins
var forkyPins string

// Where a root file system says so of itself. See pins.sh.
const (
	pinsFile  = "/usr/share/buildwatch-test/pins"
	movedFile = "/usr/share/buildwatch-test/moved"
)

// Pins returns the suite's versions as they are now, in the form of forky.pins.
// It is empty for a suite that is not pinned.
func Pins(ctx context.Context, suite string, say func(string, ...any)) (string, error) {
	return ofRoot(ctx, suite, pinsFile, say)
}

// Moves reports whether the suite's packages change from week to week.
func Moves(suite string) bool { return suites[suite].Pins != "" }

// Moved says which of the suite's packages have versions other than those that
// the tests are known to pass with, one in each line.
func Moved(ctx context.Context, suite string, say func(string, ...any)) ([]string, error) {
	text, err := ofRoot(ctx, suite, movedFile, say)
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), err
}

// ofRoot returns what a file in the suite's root file system says; one that is not
// there says nothing.
func ofRoot(ctx context.Context, suite, name string, say func(string, ...any)) (string, error) {
	root, err := Rootfs(ctx, suite, say)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(root, name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// A Version is that of a package, or of the kernel.
type Version struct{ Name, Version string }

func (v Version) String() string { return v.Name + " " + v.Version }

// kernelName stands for the kernel among packages.
const kernelName = "kernel"

// told are the packages whose versions a run's result begins with.
var told = []string{
	"systemd", "podman", "buildah", "crun", "runc", "conmon", "golang-github-containers-common",
	"netavark", "passt", "slirp4netns", "fuse-overlayfs", "qemu-user", "qemu-user-static", "libc6",
}

// Versions returns the versions of what the suite's machines are made of: the
// kernel, and those packages that matter to builds.
func Versions(ctx context.Context, suite string, say func(string, ...any)) ([]Version, error) {
	root, err := Rootfs(ctx, suite, say)
	if err != nil {
		return nil, err
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	status, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return nil, err
	}
	// What follows a dash is the distribution's own.
	release, _, _ := strings.Cut(unix.ByteSliceToString(name.Release[:]), "-")
	kernel := Version{kernelName, release}
	return append([]Version{kernel}, packageVersions(string(status))...), nil
}

// packageVersions picks the versions that are told from dpkg's status file.
func packageVersions(status string) []Version {
	var found []Version
	for paragraph := range strings.SplitSeq(status, "\n\n") {
		var v Version
		for line := range strings.Lines(paragraph) {
			line = strings.TrimSuffix(line, "\n")
			if name, ok := strings.CutPrefix(line, "Package: "); ok {
				v.Name = name
			} else if version, ok := strings.CutPrefix(line, "Version: "); ok {
				v.Version = version
			}
		}
		if slices.Contains(told, v.Name) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b Version) int {
		return slices.Index(told, a.Name) - slices.Index(told, b.Name)
	})
	return found
}

// tellVersions begins a run's result with what is tried.
func tellVersions(ctx context.Context, suite string, say func(string, ...any)) error {
	versions, err := Versions(ctx, suite, say)
	if err != nil {
		return fmt.Errorf("versions of %s: %w", suite, err)
	}
	words := make([]string, len(versions))
	for i, v := range versions {
		words[i] = v.String()
	}
	say("%s: %s", suite, strings.Join(words, ", "))
	moved, err := Moved(ctx, suite, say)
	if err != nil {
		return fmt.Errorf("versions of %s: %w", suite, err)
	}
	for _, m := range moved {
		say("%s HAS MOVED from what the tests are known to pass with: %s", suite, m)
	}
	return nil
}
