package machine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cacheEnv overrides where root file systems are cached.
const cacheEnv = "BUILDWATCH_TEST_CACHE"

// debootstrapScripts is where debootstrap looks for a suite's script by itself.
// Source: debootstrap(8), DEBOOTSTRAP_DIR.
const debootstrapScripts = "/usr/share/debootstrap/scripts"

// unfinished is the prefix of a root file system that is being built.
const unfinished = ".building-"

func cacheDir() string {
	if dir := os.Getenv(cacheEnv); dir != "" {
		return dir
	}
	return "/var/cache/buildwatch-test"
}

// Rootfs returns the root file system of the named suite from the cache, and
// builds it first where it is missing.
func Rootfs(ctx context.Context, suiteName string, say func(string, ...any)) (string, error) {
	s, err := findSuite(suiteName)
	if err != nil {
		return "", err
	}
	if err := Require(); err != nil {
		return "", err
	}
	cache := cacheDir()
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	r := newRecipe(s)
	root := filepath.Join(cache, r.dirName())
	if isDir(root) {
		return root, nil
	}
	// One build at a time: whoever waited finds the other's result.
	lock, err := lockFile(ctx, filepath.Join(cache, ".lock"))
	if err != nil {
		return "", fmt.Errorf("lock the cache: %w", err)
	}
	defer lock.Close()
	if isDir(root) {
		return root, nil
	}
	if err := r.build(ctx, root, say); err != nil {
		return "", fmt.Errorf("build the root file system of %s: %w", s.Name, err)
	}
	prune(cache, s.Name, filepath.Base(root), say)
	return root, nil
}

// build makes the root file system under another name and renames it when it
// is whole: what bears the name root is never half a system.
func (r recipe) build(ctx context.Context, root string, say func(string, ...any)) error {
	cache := filepath.Dir(root)
	// The lock is held: what an interrupted build left is nobody's.
	if left, err := filepath.Glob(filepath.Join(cache, unfinished+"*")); err == nil {
		for _, dir := range left {
			if err := removeTree(dir); err != nil {
				return err
			}
		}
	}
	if err := installMissing(ctx, say); err != nil {
		return err
	}
	site, err := mirror(ctx)
	if err != nil {
		return err
	}
	if err := checkNetwork(ctx, site, r.Suite.Name, cache); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(cache, unfinished)
	if err != nil {
		return err
	}
	defer func() { _ = removeTree(dir) }() // nothing is there any more after the rename
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}

	started := time.Now()
	say("building the root file system of %s (debootstrap, about a minute; once)", r.Suite.Name)
	args := []string{"--variant=minbase", "--keyring=" + keyring,
		"--include=" + strings.Join(r.Packages, ","), r.Suite.Name, dir, site}
	if r.Suite.Script != "" {
		args = append(args, filepath.Join(debootstrapScripts, r.Suite.Script))
	}
	bootstrap := exec.CommandContext(ctx, "debootstrap", args...)
	bootstrap.Env = proxyEnv(ctx)
	if err := runLogged(bootstrap, dir+".log"); err != nil {
		return err
	}
	if err := r.setUp(ctx, dir); err != nil {
		return err
	}
	if err := os.Rename(dir, root); err != nil {
		return err
	}
	say("built %s in %s", root, time.Since(started).Round(time.Second))
	return nil
}

// runInside runs one of the recipe's scripts inside the new root.
func (r recipe) runInside(ctx context.Context, dir string, script []byte) error {
	sh := exec.CommandContext(ctx, "chroot", dir, "/bin/sh", "-s")
	sh.Stdin = bytes.NewReader(script)
	sh.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/root",
		"DEBIAN_FRONTEND=noninteractive", "RUNTIME=" + r.Suite.Runtime, "PINS=" + r.Suite.Pins}
	sh.Env = append(sh.Env, r.env...)
	return runLogged(sh, dir+".log")
}

// setUp runs the recipe's scripts inside the new root, which for that time has
// the host's resolver and apt settings.
func (r recipe) setUp(ctx context.Context, dir string) error {
	settings, err := acquireSettings(ctx)
	if err != nil {
		return err
	}
	aptConf := filepath.Join(dir, "etc/apt/apt.conf.d/99host")
	if err := os.WriteFile(aptConf, []byte(settings), 0o644); err != nil {
		return err
	}
	resolver, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return err
	}
	resolvConf := filepath.Join(dir, "etc/resolv.conf")
	if err := os.WriteFile(resolvConf, resolver, 0o644); err != nil {
		return err
	}
	if err := r.runInside(ctx, dir, r.Setup); err != nil {
		return err
	}
	if r.Pinning != nil {
		if err := r.runInside(ctx, dir, r.Pinning); err != nil {
			return err
		}
	}
	if err := os.Remove(aptConf); err != nil {
		return err
	}
	return os.WriteFile(resolvConf, nil, 0o644)
}

// runLogged runs cmd with its output in the file log, which is kept, and named
// in the error, when cmd fails.
func runLogged(cmd *exec.Cmd, log string) error {
	file, err := os.Create(log)
	if err != nil {
		return err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	// As PID 1 of a namespace of its own, and with mounts of its own, it leaves
	// neither children nor mounts when it is interrupted.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:    syscall.SIGKILL,
		Cloneflags:   syscall.CLONE_NEWPID,
		Unshareflags: syscall.CLONE_NEWNS,
	}
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log)
		kept := filepath.Join(filepath.Dir(log), "failed.log")
		if os.Rename(log, kept) != nil {
			kept = log
		}
		return fmt.Errorf("%s: %w: %s (all of it in %s)", filepath.Base(cmd.Path), err, lastLine(string(text)), kept)
	}
	return os.Remove(log)
}

// prune removes the suite's root file systems of former recipes, unless a
// machine runs on one.
func prune(cache, suite, keep string, say func(string, ...any)) {
	old, err := filepath.Glob(filepath.Join(cache, suite+"-*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		if filepath.Base(dir) == keep {
			continue
		}
		inUse, err := lockDir(dir, unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue
		}
		say("removing %s, made by a former recipe", dir)
		if err := removeTree(dir); err != nil {
			say("cannot remove it: %v", err)
		}
		inUse.Close()
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
