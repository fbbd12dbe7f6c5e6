package wrapper

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// Names in a bundle. The two of ours exist only while a container is placed.
const (
	configName = podman.BundleConfig
	newName    = configName + ".buildwatch-new"
	oldName    = configName + ".buildwatch-old"
)

// maxConfig is the size of the largest configuration that is read, in bytes.
// podman's are about 20 KiB.
const maxConfig = 16 << 20

// bundle is a container's bundle directory, held by descriptor: the path is
// used once, and no link is followed below it.
type bundle struct {
	dir    int // O_PATH descriptor of the directory
	config []byte
	mode   uint32 // permission bits of config.json
}

// openBundle opens the directory and reads its configuration. It takes only
// what the caller itself owns and nobody links to: root's wrapper must not be
// led to rewrite a file by a user's bundle.
func openBundle(path string) (*bundle, error) {
	dir, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open bundle: %w", err)
	}
	b := &bundle{dir: dir}
	if err := b.read(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bundle) read() error {
	var st unix.Stat_t
	if err := unix.Fstat(b.dir, &st); err != nil {
		return fmt.Errorf("stat bundle: %w", err)
	}
	euid := uint32(unix.Geteuid())
	if st.Uid != euid {
		return fmt.Errorf("bundle belongs to UID %d", st.Uid)
	}
	// O_NONBLOCK: a FIFO in the file's place must not hold the build.
	fd, err := unix.Openat(b.dir, configName, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", configName, err)
	}
	file := os.NewFile(uintptr(fd), configName)
	defer file.Close()
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("stat %s: %w", configName, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%s is not a regular file", configName)
	case st.Uid != euid:
		return fmt.Errorf("%s belongs to UID %d", configName, st.Uid)
	case st.Nlink != 1:
		return fmt.Errorf("%s has %d links", configName, st.Nlink)
	case st.Size > maxConfig:
		return fmt.Errorf("%s has %d bytes", configName, st.Size)
	}
	b.mode = st.Mode & 0o7777
	b.config, err = io.ReadAll(io.LimitReader(file, maxConfig))
	return err
}

// replace puts config in the place of the configuration and keeps the old file
// beside it, for restore or commit.
func (b *bundle) replace(config []byte) error {
	fd, err := unix.Openat(b.dir, newName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, b.mode)
	if err != nil {
		return fmt.Errorf("create %s: %w", newName, err)
	}
	file := os.NewFile(uintptr(fd), newName)
	_, err = file.Write(config)
	err = errors.Join(err, unix.Fchmod(fd, b.mode), file.Close()) // the umask must not narrow the mode
	if err == nil {
		// A link and a rename, not two renames: config.json is there at every moment.
		err = unix.Linkat(b.dir, configName, b.dir, oldName, 0)
	}
	if err == nil {
		err = unix.Renameat(b.dir, newName, b.dir, configName)
	}
	if err != nil {
		_ = unix.Unlinkat(b.dir, newName, 0)
		_ = unix.Unlinkat(b.dir, oldName, 0)
		return fmt.Errorf("replace %s: %w", configName, err)
	}
	return nil
}

// restore undoes replace.
func (b *bundle) restore() error { return unix.Renameat(b.dir, oldName, b.dir, configName) }

// commit makes replace final.
func (b *bundle) commit() { _ = unix.Unlinkat(b.dir, oldName, 0) }

func (b *bundle) close() { _ = unix.Close(b.dir) }
