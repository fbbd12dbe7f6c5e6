package machine

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

//go:embed vm-setup.sh
var vmSetup []byte

// Files of a VM's image in the cache.
const (
	vmDisk, vmKernel, vmInitrd, vmKey = "disk", "vmlinuz", "initrd", "key"
	vmDiskSize                        = "8G" // sparse
)

// VMImage returns the directory of the suite's image from the cache, and makes it first
// where it is missing: the same root as a machine's, with Debian's cloud kernel of the
// suite that kernel names, or of its own.
func VMImage(ctx context.Context, suiteName, kernel string, say func(string, ...any)) (string, error) {
	root, err := Rootfs(ctx, suiteName, say)
	if err != nil {
		return "", err
	}
	s, err := findSuite(suiteName)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append(vmSetup, kernel...))
	image := root + ".vm-" + hex.EncodeToString(sum[:4])
	if isDir(image) {
		return image, nil
	}
	lock, err := lockFile(ctx, filepath.Join(filepath.Dir(root), ".lock"))
	if err != nil {
		return "", fmt.Errorf("lock the cache: %w", err)
	}
	defer lock.Close()
	if isDir(image) {
		return image, nil
	}
	started := time.Now()
	say("building the VM image of %s (a kernel, and a copy of the root file system; once)", suiteName)
	dir, err := os.MkdirTemp(filepath.Dir(root), unfinished)
	if err != nil {
		return "", err
	}
	tree := dir + ".root" // beside it, so that the log of what failed stays in the cache
	defer func() { _ = errors.Join(removeTree(dir), removeTree(tree)) }()
	r := newRecipe(s)
	r.Setup, r.Pinning = vmSetup, nil
	if err := makeImage(ctx, r, root, tree, dir, kernel); err != nil {
		return "", fmt.Errorf("build the VM image of %s: %w", suiteName, err)
	}
	made := filepath.Join(dir, "image")
	if err := os.Mkdir(made, 0o700); err != nil {
		return "", err
	}
	for _, file := range []string{vmKernel, vmInitrd} {
		if err := os.Rename(filepath.Join(tree, "boot", file), filepath.Join(made, file)); err != nil {
			return "", err
		}
	}
	if err := os.Rename(filepath.Join(dir, vmKey), filepath.Join(made, vmKey)); err != nil {
		return "", err
	}
	// No loop device, no mount: mke2fs copies the tree by itself.
	if _, err := output(ctx, "mke2fs", "-q", "-t", "ext4", "-d", tree, filepath.Join(made, vmDisk), vmDiskSize); err != nil {
		return "", err
	}
	if err := os.Rename(made, image); err != nil {
		return "", err
	}
	say("built %s in %s", image, time.Since(started).Round(time.Second))
	return image, nil
}

// makeImage makes the tree of the image, and in dir the key that opens the VM.
func makeImage(ctx context.Context, r recipe, root, tree, dir, kernel string) error {
	if _, err := output(ctx, "cp", "-a", "--reflink=auto", root, tree); err != nil {
		return err
	}
	r.env = []string{"KERNEL=" + kernel}
	if err := r.setUp(ctx, tree); err != nil {
		return err
	}
	key := filepath.Join(dir, vmKey)
	if _, err := output(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key); err != nil {
		return err
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		return err
	}
	ssh := filepath.Join(tree, "root/.ssh")
	if err := os.MkdirAll(ssh, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(ssh, "authorized_keys"), public, 0o600)
}

// sourceDisk makes a disk image of a checkout without its history, for a VM to mount.
func sourceDisk(ctx context.Context, source, dir string) (string, error) {
	tree, disk := filepath.Join(dir, "source"), filepath.Join(dir, "source.disk")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	defer func() { _ = removeTree(tree) }()
	copying := exec.CommandContext(ctx, "sh", "-c", `tar -C "$1" --exclude=./.git --exclude='./build/linux-*' --exclude='./build/*.log' -cf - . | tar -C "$2" -xf -`, "sh", source, tree)
	if _, err := runHost(copying); err != nil {
		return "", err
	}
	_, err := output(ctx, "mke2fs", "-q", "-t", "ext4", "-d", tree, disk, "1G")
	return disk, err
}
