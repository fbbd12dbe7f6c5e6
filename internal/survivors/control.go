package survivors

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// control is the FUSE control file system.
type control struct {
	path string // Control, but in tests
}

// errNoControl is returned where it is not mounted.
var errNoControl = errors.New("the FUSE control file system is not mounted at " + Control)

// fusectlMagic is the file system's own number.
//
// Source: linux, fs/fuse/control.c, FUSE_CTL_SUPER_MAGIC.
const fusectlMagic = 0x65735543

// connection is one FUSE connection, held by its control directory: what is read
// and written there later is this connection's, or fails.
type connection struct {
	dir *os.File
}

func (c control) open(number uint32) (connection, error) {
	path := filepath.Join(c.path, strconv.FormatUint(uint64(number), 10))
	dir, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		var st unix.Statfs_t
		if unix.Statfs(c.path, &st) != nil || st.Type != fusectlMagic {
			return connection{}, errNoControl
		}
	}
	if err != nil {
		return connection{}, err
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil || st.Type != fusectlMagic {
		dir.Close()
		return connection{}, errNoControl
	}
	return connection{dir}, nil
}

func (c connection) close() { _ = c.dir.Close() }

// mounter is the UID of who mounted it.
//
// Source: linux, fs/fuse/control.c, fuse_ctl_add_dentry.
func (c connection) mounter() (uint32, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(c.dir.Fd()), &st)
	return st.Uid, err
}

// waiting is how many requests the kernel waits for: those that the server has
// not read yet, and those that it has read and not answered.
func (c connection) waiting() (int, error) {
	fd, err := unix.Openat(int(c.dir.Fd()), "waiting", unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	var text [32]byte
	n, err := unix.Read(fd, text[:])
	_ = unix.Close(fd)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text[:n])))
}

// abort ends the connection: every request fails, now and for ever.
func (c connection) abort() error {
	fd, err := unix.Openat(int(c.dir.Fd()), "abort", unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte("1"))
		_ = unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("abort: %w", err)
	}
	return nil
}
