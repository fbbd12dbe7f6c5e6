package request

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// parents are where such directories are looked at: directories of root's on
// every host, so that no user can make a look at them hang.
var parents = []string{podman.TemporaryDirectory, "/tmp"}

// maxEntries bounds the search: in a parent with more nothing is found.
const maxEntries = 4096

// Dir is one such directory. An inode's number is used again, so the time of
// birth belongs to it.
type Dir struct {
	Path  string `json:"path"`
	Inode uint64 `json:"inode"`
	Birth int64  `json:"birth"` // nanoseconds since the epoch; 0 where the file system keeps none
	UID   uint32 `json:"uid"`
}

// CheckPath says whether a path can be that of a request's directory, where it
// can be watched.
func CheckPath(p string) error {
	if !podman.IsRequest(p) || p != path.Clean(p) || !slices.Contains(parents, path.Dir(p)) {
		return fmt.Errorf("%q is no request's directory", p)
	}
	return nil
}

// list returns the directories in parent that are the user's.
func list(parent string, uid uint32) []Dir {
	dir, err := os.Open(parent)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxEntries + 1)
	if len(names) > maxEntries {
		return nil
	}
	var found []Dir
	for _, name := range names {
		if d, err := look(path.Join(parent, name)); err == nil && d.UID == uid {
			found = append(found, d)
		}
	}
	return found
}

var errNoDir = errors.New("not a directory")

// look finds out what is at the path, without opening it and following no link.
func look(p string) (Dir, error) {
	if err := CheckPath(p); err != nil {
		return Dir{}, err
	}
	var st unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	if err := unix.Statx(unix.AT_FDCWD, p, flags, unix.STATX_TYPE|unix.STATX_INO|unix.STATX_UID|unix.STATX_BTIME, &st); err != nil {
		return Dir{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return Dir{}, errNoDir
	}
	d := Dir{Path: p, Inode: st.Ino, UID: st.Uid}
	if st.Mask&unix.STATX_BTIME != 0 {
		d.Birth = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	return d, nil
}

// gone reports whether the directory was removed. In doubt it was not.
func (d Dir) gone() bool {
	now, err := look(d.Path)
	if err == nil {
		return now != d
	}
	return errors.Is(err, unix.ENOENT) || errors.Is(err, errNoDir)
}

// holdsContext reports whether a context was sent to the request. In doubt none was. What
// is mounted there is not asked: a user may have mounted it, and it may hang.
func (d Dir) holdsContext() bool {
	parent, err := unix.Open(path.Dir(d.Path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(parent)
	fd, err := unix.Openat2(parent, path.Join(path.Base(d.Path), podman.RequestContext), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}
