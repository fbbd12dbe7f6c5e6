package request

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/requestdir"
)

// parents are where such directories are looked at: directories of root's on
// every host, so that no user can make a look at them hang.
var parents = []string{requestdir.DefaultParent, "/tmp"}

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
	digits, ok := strings.CutPrefix(path.Base(p), requestdir.Prefix)
	if !ok || digits == "" || len(digits) > 20 || strings.Trim(digits, "0123456789") != "" ||
		p != path.Clean(p) || !slices.Contains(parents, path.Dir(p)) {
		return fmt.Errorf("%q is no request's directory", p)
	}
	return nil
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

// gone tells whether the directory was removed. In doubt it was not.
func (d Dir) gone() bool {
	now, err := look(d.Path)
	if err == nil {
		return now != d
	}
	return errors.Is(err, unix.ENOENT) || errors.Is(err, errNoDir)
}
