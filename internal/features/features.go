// Package features finds out which of the kernel's features that buildwatch uses
// are there: by trying each, never by a version. It is for people to see only.
//
// It decides nothing and changes nothing: whoever uses a feature tries it for
// itself, and has its own way to do without.
package features

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/api"
)

// Try returns what came of trying a feature.
func Try(name api.FeatureName, try func() error) api.Feature {
	if err := try(); err != nil {
		return api.Feature{Name: name, Error: err.Error()}
	}
	return api.Feature{Name: name, Found: true}
}

// Kernel tries the kernel's features. cgroups is where the unified hierarchy is
// mounted.
func Kernel(cgroups string) []api.Feature {
	own := func() (string, error) { return ownCgroup(cgroups) }
	return []api.Feature{
		Try(api.FeaturePidfd, pidfd),
		Try(api.FeaturePeerPidfd, peerPidfd),
		Try(api.FeatureOpenat2, openat2),
		Try(api.FeatureCgroupKill, func() error { return cgroupKill(own) }),
		Try(api.FeatureCgroupXattr, func() error { return cgroupXattr(own) }),
		Try(api.FeatureInotify, inotify),
		Try(api.FeaturePidfdGetfd, pidfdGetfd),
		Try(api.FeatureMemoryOf, memoryOf),
		Try(api.FeatureFusectl, fusectl),
		Try(api.FeatureWchan, func() error { return readable("/proc/self/wchan") }),
		Try(api.FeatureSyscall, func() error { return readable("/proc/self/syscall") }),
		Try(api.FeatureCPU, func() error { return controller(cgroups, "cpu") }),
		Try(api.FeatureIO, func() error { return controller(cgroups, "io") }),
		Try(api.FeatureMemory, func() error { return controller(cgroups, "memory") }),
		Try(api.FeaturePids, func() error { return controller(cgroups, "pids") }),
	}
}

// Release is the kernel's, as uname(1) -r prints it.
func Release() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// Source: pidfd_open(2), PIDFD_NONBLOCK, Linux 5.10.
func pidfd() error {
	fd, err := unix.PidfdOpen(os.Getpid(), unix.PIDFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	return unix.Close(fd)
}

// Source: linux, include/uapi/asm-generic/socket.h, SO_PEERPIDFD, Linux 6.5.
func peerPidfd() error {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(ends[0])
	defer unix.Close(ends[1])
	fd, err := unix.GetsockoptInt(ends[0], unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err != nil {
		return fmt.Errorf("SO_PEERPIDFD: %w", err)
	}
	return unix.Close(fd)
}

// Source: openat2(2), Linux 5.6.
func openat2() error {
	fd, err := unix.Openat2(unix.AT_FDCWD, "/proc", &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return fmt.Errorf("openat2: %w", err)
	}
	return unix.Close(fd)
}

// ownCgroup is our own: the root of the hierarchy lacks some files.
func ownCgroup(mount string) (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return filepath.Join(mount, path), nil
		}
	}
	return "", errors.New("/proc/self/cgroup names no cgroup v2")
}

// Source: cgroup-v2.rst, cgroup.kill, Linux 5.14.
func cgroupKill(own func() (string, error)) error {
	dir, err := own()
	if err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(dir, "cgroup.kill"))
	return err
}

// Source: linux, fs/kernfs/inode.c, KERNFS_ROOT_SUPPORT_USER_XATTR, Linux 5.7.
func cgroupXattr(own func() (string, error)) error {
	dir, err := own()
	if err != nil {
		return err
	}
	_, err = unix.Getxattr(dir, "user.buildwatch.none", nil)
	if errors.Is(err, unix.ENODATA) {
		return nil
	}
	return fmt.Errorf("getxattr %s: %w", dir, err)
}

func inotify() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return fmt.Errorf("inotify_init1: %w", err)
	}
	return unix.Close(fd)
}

// pidfdGetfd asks for a descriptor of our parent's: of our own it is always allowed.
//
// Source: pidfd_getfd(2), Linux 5.6. Yama, and a container's filter, may forbid it.
func pidfdGetfd() error {
	pidfd, err := unix.PidfdOpen(os.Getppid(), 0)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, 0, 0)
	switch {
	case errors.Is(err, unix.EBADF): // it has none of that number
		return nil
	case err != nil:
		return fmt.Errorf("pidfd_getfd: %w", err)
	}
	return unix.Close(fd)
}

// memoryOf opens our parent's memory: our own is always allowed.
//
// Source: proc_pid_mem(5). Who may not trace a process can't open it.
func memoryOf() error {
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", os.Getppid()))
	if err != nil {
		return err
	}
	return memory.Close()
}

// Source: linux, fs/fuse/control.c, FUSE_CTL_SUPER_MAGIC.
func fusectl() error {
	const dir, magic = "/sys/fs/fuse/connections", 0x65735543
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	if st.Type != magic {
		return fmt.Errorf("nothing is mounted at %s", dir)
	}
	return nil
}

func readable(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func controller(mount, name string) error {
	text, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(text)), name) {
		return fmt.Errorf("cgroup.controllers has %q", strings.TrimSpace(string(text)))
	}
	return nil
}
