package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxSize is the size of the largest configuration file, in bytes.
const maxSize = 1 << 20

// The configuration decides what root does: whoever can write it is root. So
// only what root alone can have put there is read.
var (
	errSymlink  = errors.New("is a symbolic link (only one to /dev/null is allowed, which masks the file)")
	errRegular  = errors.New("is not a regular file")
	errWritable = errors.New("can be written by group or others (chmod go-w)")
	errSize     = fmt.Errorf("is larger than %d bytes", maxSize)
)

// dir is an open directory. Its files are opened relative to it, so that what
// was checked is what is read.
type dir struct {
	path string
	file *os.File
}

// openDir opens a directory and checks who may change it.
func openDir(path string) (*dir, error) {
	f, err := os.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if _, err := check(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return &dir{path: path, file: f}, nil
}

// Trusted returns an error unless only root can have written the file, and what is beside
// it. It is for files that somebody else reads.
func Trusted(path string) error {
	d, err := openDir(filepath.Dir(path))
	if err == nil {
		defer d.close()
		_, err = d.read(filepath.Base(path))
	}
	if err != nil {
		return fmt.Errorf("%s: %s", path, reason(err))
	}
	return nil
}

func (d *dir) close() { _ = d.file.Close() }

func (d *dir) join(name string) string { return filepath.Join(d.path, name) }

// read returns the content of a file. It is empty for a file that is masked by
// a link to /dev/null. The file is opened without waiting and without following
// links, whatever it turns out to be.
func (d *dir) read(name string) ([]byte, error) {
	fd, err := d.openat(name)
	if errors.Is(err, unix.ELOOP) {
		return nil, d.mask(name)
	}
	if errors.Is(err, unix.ENXIO) { // a socket
		return nil, errRegular
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), d.join(name))
	defer f.Close()
	mode, err := check(f)
	if err != nil {
		return nil, err
	}
	if mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errRegular
	}
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSize {
		return nil, errSize
	}
	return data, nil
}

func (d *dir) openat(name string) (int, error) {
	for {
		fd, err := unix.Openat(int(d.file.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// mask returns nil if the symbolic link name leads to /dev/null.
func (d *dir) mask(name string) error {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(d.file.Fd()), name, target)
	if err != nil {
		return err
	}
	if filepath.Clean(string(target[:n])) != os.DevNull {
		return errSymlink
	}
	return nil
}

// check returns the file's mode if nobody but root, or the user that the
// program runs as, can change it.
func check(f *os.File) (mode uint32, err error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return 0, err
	}
	if stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		return 0, fmt.Errorf("is owned by uid %d, not by root", stat.Uid)
	}
	if stat.Mode&0o022 != 0 {
		return 0, errWritable
	}
	return stat.Mode, nil
}
