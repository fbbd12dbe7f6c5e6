package proc

import (
	"path"

	"golang.org/x/sys/unix"
)

// cgroupMount is where the unified hierarchy is mounted on a systemd host.
const cgroupMount = "/sys/fs/cgroup"

// CgroupID tells a cgroup from every other that this boot has seen: a name can be
// used again, an inode number of the hierarchy is not.
//
// Source: linux, fs/kernfs/dir.c, __kernfs_new_node: the number has a generation.
type CgroupID struct {
	Path  string // below the mount, with a leading slash
	Inode uint64
}

// IdentifyCgroup identifies the cgroup that has the path now.
func IdentifyCgroup(where string) (CgroupID, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path.Join(cgroupMount, where), &st); err != nil {
		return CgroupID{}, err
	}
	return CgroupID{Path: where, Inode: st.Ino}, nil
}
