package proc

import (
	"errors"
	"fmt"
	"path"
	"strings"

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

// Populated reports whether a process that has not ended is in the cgroup, or in one
// below it; no process is in one that has gone. Zombies do not count.
//
// Source: linux, Documentation/admin-guide/cgroup-v2.rst, cgroup.events.
func (c CgroupID) Populated() (bool, error) {
	dir, err := unix.Open(path.Join(cgroupMount, c.Path), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.Path, err)
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil || st.Ino != c.Inode {
		return false, err // the name is another's now
	}
	file, err := unix.Openat(dir, "cgroup.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ENODEV {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.Path, err)
	}
	defer unix.Close(file)
	var events [256]byte
	n, err := unix.Read(file, events[:])
	if err == unix.ENODEV { // it was removed since
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", c.Path, err)
	}
	return ParsePopulated(events[:n])
}

// ParsePopulated reads out of a cgroup.events whether a process is in the cgroup or in
// one below it.
func ParsePopulated(events []byte) (bool, error) {
	for line := range strings.Lines(string(events)) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), " "); key == "populated" {
			return value != "0", nil
		}
	}
	return false, errors.New("cgroup.events says nothing of populated")
}
