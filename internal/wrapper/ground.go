package wrapper

import (
	"fmt"
	"path"

	"golang.org/x/sys/unix"
)

// cgroupMount is where the OCI runtime looks for the unified hierarchy.
//
// Source: containers/crun, src/libcrun/cgroup.h, CGROUP_ROOT; opencontainers/cgroups,
// utils.go, unifiedMountpoint.
const cgroupMount = "/sys/fs/cgroup"

// checkHierarchy looks whether the runtime could make a cgroup at all. With a path in
// config.json it must; without one, crun and runc do without where they can't: below a
// unit with ProtectControlGroups=, in a container, or in the mount namespace that a
// user's first podman, and with it the pause process, was started in.
//
// This process is what the runtime will be: the same mounts, IDs and namespaces.
func checkHierarchy() error { return checkMount(cgroupMount) }

func checkMount(mount string) error {
	var st unix.Statfs_t
	switch err := unix.Statfs(mount, &st); {
	case err != nil:
		return fmt.Errorf("no cgroup could be made: %s: %w", mount, err)
	case st.Type != unix.CGROUP2_SUPER_MAGIC:
		return fmt.Errorf("no cgroup could be made: %s is no cgroup v2 hierarchy here", mount)
	case st.Flags&unix.ST_RDONLY != 0:
		return fmt.Errorf("no cgroup could be made: %s is mounted read-only here", mount)
	}
	own, err := ownCgroup()
	if err == nil {
		err = unix.Faccessat(unix.AT_FDCWD, path.Join(mount, own), unix.F_OK, 0)
	}
	if err != nil {
		return fmt.Errorf("no cgroup could be found: another part of the hierarchy is mounted at %s here: %w", mount, err)
	}
	return nil
}

// checkPlace looks whether the runtime will find the place that the daemon has made,
// and may write there: what is mounted may be another part of the hierarchy, or this
// part read-only.
func checkPlace(cgroupsPath string) error {
	parent := path.Join(cgroupMount, path.Dir(cgroupsPath))
	if err := unix.Faccessat(unix.AT_FDCWD, parent, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("the build's scope can't be used from here: %s: %w", parent, err)
	}
	return nil
}
