package machine

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// The recipe of a podman machine: its host, its image, and how a disk is made of that.
var (
	//go:embed podman-host.sh
	podmanHostSetup []byte
	//go:embed podman-guest.sh
	podmanGuestSetup []byte
	//go:embed podman-disk.sh
	podmanDiskSetup []byte
)

// PodmanImageDir is where the host of a podman machine sees the image that
// `podman machine init --image` makes one of, image.qcow2.
const PodmanImageDir = "/image"

// podmanHome is the home of the user who has the machine: on a disk, since that of the
// machine is there.
const podmanHome, podmanUser = "/home/dev", 1600

// podmanHost returns from the cache the root of a podman machine's host, and the directory
// with the machine's image, and makes them first where they are missing.
func podmanHost(ctx context.Context, suiteName string, say func(string, ...any)) (root, image string, err error) {
	base, err := Rootfs(ctx, suiteName, say)
	if err != nil {
		return "", "", err
	}
	s, err := findSuite(suiteName)
	if err != nil {
		return "", "", err
	}
	r := newRecipe(s)
	r.Pinning = nil
	host := derivation{base: base, kind: "podman-host", of: podmanHostSetup, what: "the host of a podman machine", say: say}
	host.make = func(dir string) error {
		r.Setup = podmanHostSetup
		return r.derive(ctx, base, filepath.Join(dir, "root"))
	}
	made, err := host.get(ctx)
	if err != nil {
		return "", "", err
	}
	root = filepath.Join(made, "root")
	disk := derivation{base: base, kind: "podman-image", of: slices.Concat(podmanGuestSetup, podmanDiskSetup), what: "the image of a podman machine", say: say}
	disk.make = func(dir string) error {
		r.Setup = podmanGuestSetup
		if err := r.derive(ctx, base, filepath.Join(dir, "root")); err != nil {
			return err
		}
		const script = `mount --bind "$2" "$1/mnt"; exec chroot "$1" sh -ec "$3"`
		making := exec.CommandContext(ctx, "sh", "-ec", script, "sh", root, dir, string(podmanDiskSetup))
		if err := runLogged(making, dir+".log"); err != nil {
			return err
		}
		return removeTree(filepath.Join(dir, "root"))
	}
	image, err = disk.get(ctx)
	return root, image, err
}

// PodmanImage returns the directory with the image that a podman machine is made of, and makes
// it and its host's root first where they are missing.
func PodmanImage(ctx context.Context, suite string, say func(string, ...any)) (string, error) {
	_, image, err := podmanHost(ctx, suite, say)
	return image, err
}

// derive makes a tree of another one by the recipe's script.
func (r recipe) derive(ctx context.Context, base, tree string) error {
	if _, err := output(ctx, "cp", "-a", "--reflink=auto", base, tree); err != nil {
		return err
	}
	return r.setUp(ctx, tree)
}

// A derivation is a directory of the cache that is made of a root file system.
type derivation struct {
	base, kind string
	of         []byte // what decides on its content
	what       string
	say        func(string, ...any)
	make       func(dir string) error
}

// get returns the directory, which is whole or not there.
func (d derivation) get(ctx context.Context) (string, error) {
	sum := sha256.Sum256(d.of)
	made := d.base + "." + d.kind + "-" + hex.EncodeToString(sum[:4])
	if isDir(made) {
		return made, nil
	}
	lock, err := lockFile(ctx, filepath.Join(filepath.Dir(d.base), ".lock"))
	if err != nil {
		return "", fmt.Errorf("lock the cache: %w", err)
	}
	defer lock.Close()
	if isDir(made) {
		return made, nil
	}
	started := time.Now()
	d.say("building %s (a copy of %s; once)", d.what, filepath.Base(d.base))
	dir, err := os.MkdirTemp(filepath.Dir(d.base), unfinished)
	if err != nil {
		return "", err
	}
	defer func() { _ = removeTree(dir) }() // nothing is there any more after the rename
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	if err := d.make(dir); err != nil {
		return "", fmt.Errorf("build %s: %w", d.what, err)
	}
	if err := os.Rename(dir, made); err != nil {
		return "", err
	}
	d.say("built %s in %s", made, time.Since(started).Round(time.Second))
	return made, nil
}

// makePodmanHome makes the directory that is podmanHome inside. Its name is the slot's alone:
// whoever has the slot next finds what a run that was killed has left.
func (s *slot) makePodmanHome() (string, error) {
	dir := s.podmanHome()
	if err := removeTree(dir); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, podmanUser, podmanUser)
}

func (s *slot) podmanHome() string {
	return filepath.Join(cacheDir(), fmt.Sprintf(".podman-home-%d", s.n))
}
