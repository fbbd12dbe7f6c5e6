// Package machine makes throwaway test machines: a Debian with a real systemd,
// booted under systemd-nspawn from a cached root file system that stays as it
// is, since all that a machine writes is kept in memory.
//
// It owns, on the host, the cache of root file systems, /run/buildwatch-test,
// and for each machine the cgroup, the network link and the binfmt_misc
// handlers named after its slot. It touches nothing else there, and ends only
// processes in cgroups that it made.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what machine to boot.
type Options struct {
	// Suite is one of Suites.
	Suite string
	// Source is a checkout of the project, seen inside read-only as SourceDir;
	// "" for none.
	Source string
	// PodmanMachine asks for a machine that can be the host of a podman machine: with
	// qemu, gvproxy and virtiofsd, the image of one in PodmanImageDir, and a user "dev".
	PodmanMachine bool
	// With is one of Withs, or "".
	With string
	// Kernel is the suite that a VM's kernel comes from, such as "trixie-backports"; ""
	// for its own.
	Kernel string
	// SELinux asks for a VM with Debian's policy, permissive, in the place of AppArmor.
	SELinux bool
	// Say gets the lines that tell what is being done; nil drops them.
	Say func(format string, args ...any)
}

// SourceDir is where a machine sees Options.Source.
const SourceDir = "/src"

// bootTimeout is how long a machine may take to boot. It takes about 3 s.
const bootTimeout = 2 * time.Minute

// A Machine is a running machine. It is safe for concurrent use.
type Machine struct {
	opts   Options
	began  time.Time
	slot   *slot
	rootFS *os.File // locked, so that it is not pruned
	nspawn *nspawn

	leader     int    // pidfd of the machine's init
	leaderPID  int    // its PID on the host
	initCgroup string // its cgroup's directory on the host

	closeOnce sync.Once
	closeErr  error
}

// Boot boots a machine and returns when it is up. Whatever happens, the caller
// calls Close, or gets an error and nothing is left.
func Boot(ctx context.Context, opts Options) (*Machine, error) {
	if opts.Say == nil {
		opts.Say = func(string, ...any) {}
	}
	root, image, err := bootRoot(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := installMissing(ctx, opts.Say); err != nil {
		return nil, err
	}
	if err := tellVersions(ctx, opts.Suite, opts.Say); err != nil {
		return nil, err
	}
	m := &Machine{opts: opts, began: time.Now(), leader: -1}
	if m.rootFS, err = lockDir(root, unix.LOCK_SH); err != nil {
		return nil, err
	}
	if m.slot, err = takeSlot(opts.Say); err != nil {
		m.rootFS.Close()
		return nil, err
	}
	opts.Say("booting %s as %s", opts.Suite, m.slot.name())
	ctx, cancel := context.WithTimeoutCause(ctx, bootTimeout, fmt.Errorf("it did not boot within %s", bootTimeout))
	defer cancel()
	if err := m.boot(ctx, root, image); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, errors.Join(fmt.Errorf("boot %s: %w", opts.Suite, err), m.Close())
	}
	return m, nil
}

// bootRoot returns what is booted, and the directory of a podman machine's image.
func bootRoot(ctx context.Context, opts Options) (root, image string, err error) {
	if opts.PodmanMachine {
		return podmanHost(ctx, opts.Suite, opts.Say)
	}
	if opts.With != "" {
		root, err = RootWith(ctx, opts.Suite, opts.With, opts.Say)
		return root, "", err
	}
	root, err = Rootfs(ctx, opts.Suite, opts.Say)
	return root, "", err
}

func (m *Machine) boot(ctx context.Context, root, image string) error {
	var binds []string
	if m.opts.Source != "" {
		binds = append(binds, "--bind-ro="+m.opts.Source+":"+SourceDir)
	}
	if image != "" {
		home, err := m.slot.makePodmanHome()
		if err != nil {
			return err
		}
		binds = append(binds, "--bind-ro="+image+":"+PodmanImageDir, "--bind="+home+":"+podmanHome)
	}
	var err error
	if m.nspawn, err = startNspawn(m.slot, root, binds); err != nil {
		return err
	}
	if m.leaderPID, err = m.nspawn.waitReady(ctx); err != nil {
		return err
	}
	if m.leader, err = unix.PidfdOpen(m.leaderPID, 0); err != nil {
		return fmt.Errorf("pidfd of the machine's init: %w", err)
	}
	if m.initCgroup, err = processCgroup(m.leaderPID); err != nil {
		return err
	}
	return m.setUp(ctx)
}

// setUp does what a host's boot would have done and a container's does not.
func (m *Machine) setUp(ctx context.Context) error {
	// Podman's mounts must propagate as they do where systemd set / up.
	if err := m.inside(ctx, "mount", "--make-rshared", "/"); err != nil {
		return err
	}
	if err := m.makeDevices(ctx); err != nil {
		return err
	}
	if err := m.mountFuseControl(ctx); err != nil {
		return err
	}
	if err := m.setUpNetwork(ctx); err != nil {
		return err
	}
	if err := m.registerBinfmt(ctx); err != nil {
		return err
	}
	if err := m.inside(ctx, "systemctl", "start", "user@1000.service", "user@501.service"); err != nil {
		return err
	}
	if err := m.inside(ctx, "systemctl", "is-system-running", "--wait"); err != nil {
		return fmt.Errorf("%w (systemctl --failed in testmachine shell says more)", err)
	}
	return nil
}

// makeDevices makes the devices of rootless builds, with the permissions that
// udev gives them. nspawn would copy them with those of the host.
func (m *Machine) makeDevices(ctx context.Context) error {
	for _, device := range [][]string{
		{"/dev/fuse", "10", "229"}, // see the kernel's devices.txt
		{"/dev/net/tun", "10", "200"},
	} {
		script := `rm -f "$1" && mkdir -p "${1%/*}" && mknod -m 0666 "$1" c "$2" "$3"`
		if err := m.inside(ctx, append([]string{"sh", "-c", script, "sh"}, device...)...); err != nil {
			return err
		}
	}
	return nil
}

// mountFuseControl mounts what systemd mounts on a host. The /sys that nspawn makes
// has no place for it.
func (m *Machine) mountFuseControl(ctx context.Context) error {
	const script = `mount -o remount,rw /sys && mkdir -p "$1" && mount -t fusectl fusectl "$1"`
	return m.inside(ctx, "sh", "-c", script, "sh", "/sys/fs/fuse/connections")
}

// Path returns the path on the host by which a file inside can be reached
// while the machine runs.
func (m *Machine) Path(inside string) string {
	return filepath.Join(fmt.Sprintf("/proc/%d/root", m.leaderPID), inside)
}

// Close ends the machine at once, as pulling the plug would, and removes all
// that it had on the host. It may be called more than once.
func (m *Machine) Close() error {
	m.closeOnce.Do(func() {
		m.opts.Say("%s ends after %s, with %s of CPU time", m.slot.name(),
			time.Since(m.began).Round(time.Second), m.slot.cpuTime().Round(time.Second))
		m.closeErr = m.slot.clean()
		if m.nspawn != nil {
			m.nspawn.wait()
		}
		if m.leader >= 0 {
			unix.Close(m.leader)
		}
		m.slot.release()
		m.rootFS.Close()
	})
	return m.closeErr
}
