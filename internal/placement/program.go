package placement

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// errNotWrapper is returned for a caller that runs another program.
var errNotWrapper = errors.New("the caller is not the runtime wrapper")

// runs says whether the process runs the installed program now: the very file,
// for a name could be anybody's. The file is looked up each time, since an
// upgrade replaces it.
func runs(h *proc.Handle, program string) error {
	installed, err := identify(program)
	if err != nil {
		return fmt.Errorf("the installed wrapper: %w", err)
	}
	running, err := identify("/proc/" + strconv.Itoa(h.PID) + "/exe")
	if !h.Alive() {
		return proc.ErrGone
	}
	if err != nil || running != installed {
		return errNotWrapper
	}
	return nil
}

// file identifies a file of this boot.
type file struct {
	major, minor uint32
	inode        uint64
}

// identify does not ask the file system anew: a program on a FUSE mount whose
// server hangs must not hold the daemon. AT_STATX_DONT_SYNC alone does not keep
// FUSE from asking for what was declared stale; asking for nothing does, and
// device and inode number are filled in all the same.
//
// Source: linux, fs/fuse/dir.c, fuse_update_get_attr; fs/stat.c, cp_statx.
func identify(path string) (file, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, 0, &st)
	return file{st.Dev_major, st.Dev_minor, st.Ino}, err
}
