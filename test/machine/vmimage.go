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
	"slices"
	"time"
)

//go:embed vm-setup.sh
var vmSetup []byte

//go:embed vm-selinux.sh
var vmSELinux []byte

// Files of a VM's image in the cache.
const (
	vmDisk, vmKernel, vmInitrd, vmKey = "disk", "vmlinuz", "initrd", "key"
	vmDiskSize                        = "8G" // sparse
)

// VMImage returns the directory of the suite's image from the cache, and makes it first
// where it is missing: the same root as a machine's, with Debian's cloud kernel.
func VMImage(ctx context.Context, opts Options) (string, error) {
	say := opts.Say
	root, err := Rootfs(ctx, opts.Suite, say)
	if err != nil {
		return "", err
	}
	s, err := findSuite(opts.Suite)
	if err != nil {
		return "", err
	}
	setup := slices.Clone(vmSetup)
	if opts.SELinux {
		setup = append(setup, vmSELinux...)
	}
	sum := sha256.Sum256(append(slices.Clone(setup), opts.Kernel...))
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
	say("building the VM image of %s (a kernel, and a copy of the root file system; once)", opts.Suite)
	dir, err := os.MkdirTemp(filepath.Dir(root), unfinished)
	if err != nil {
		return "", err
	}
	tree := dir + ".root" // beside it, so that the log of what failed stays in the cache
	defer func() { _ = errors.Join(removeTree(dir), removeTree(tree)) }()
	r := newRecipe(s)
	r.Setup, r.Pinning, r.env = setup, nil, []string{"KERNEL=" + opts.Kernel}
	if err := makeImage(ctx, r, root, tree, dir); err != nil {
		return "", fmt.Errorf("build the VM image of %s: %w", opts.Suite, err)
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
func makeImage(ctx context.Context, r recipe, root, tree, dir string) error {
	if _, err := output(ctx, "cp", "-a", "--reflink=auto", root, tree); err != nil {
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
	if err := os.WriteFile(filepath.Join(ssh, "authorized_keys"), public, 0o600); err != nil {
		return err
	}
	return r.setUp(ctx, tree) // which may label all files
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
