package observe

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// builders are the programs that build.
var builders = []string{"podman", "buildah"}

// directories are where a distribution or an administrator installs them. They
// are watched for the start of a builder, and their file systems are those whose
// word on a file's owner counts: on one that a user has mounted, root can own
// anything.
var directories = []string{"/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin"}

// fileID is what makes a file the same file.
type fileID struct {
	major, minor uint32
	inode        uint64
}

// programs knows which executables are builders.
type programs struct {
	systems map[[2]uint32]bool // devices of the file systems that are trusted
}

// refresh learns the file systems of the programs that are installed now. A file
// of an overlay can have another device than the directory that it is in.
//
// Source: linux, Documentation/filesystems/overlayfs.rst, "Inode properties".
func (p *programs) refresh() {
	for _, dir := range directories {
		for _, file := range append([]string{"."}, builders...) {
			var st unix.Statx_t
			if err := unix.Statx(unix.AT_FDCWD, path.Join(dir, file), 0, unix.STATX_TYPE, &st); err == nil {
				p.systems[[2]uint32{st.Dev_major, st.Dev_minor}] = true
			}
		}
	}
}

// builder tells whether the process runs a builder's program: a file that is
// root's, that nobody else may write, on one of the host's own file systems. Its
// name says no more than which of these to look at. What is read here, the
// kernel answers without asking a file system that a user may have mounted: an
// O_PATH descriptor of /proc/PID/exe, and its attributes as they are cached.
//
// A program in another container's file system is none: what runs in a
// container of `podman run` is not ours.
func (p *programs) builder(pid int) (fileID, bool) {
	link := "/proc/" + strconv.Itoa(pid) + "/exe"
	var target [4096]byte
	n, err := unix.Readlink(link, target[:])
	if err != nil || !isBuilderName(string(target[:n])) {
		return fileID{}, false
	}
	fd, err := unix.Open(link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fileID{}, false
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st)
	if err != nil || !p.trusted(st) {
		return fileID{}, false
	}
	return fileID{st.Dev_major, st.Dev_minor, st.Ino}, true
}

func isBuilderName(exe string) bool {
	name := path.Base(strings.TrimSuffix(exe, " (deleted)")) // an upgrade replaces the file
	for _, b := range builders {
		if name == b {
			return true
		}
	}
	return false
}

func (p *programs) trusted(st unix.Statx_t) bool {
	return proc.IsRoots(st) && p.systems[[2]uint32{st.Dev_major, st.Dev_minor}]
}

var errNotOurs = errors.New("a user namespace that is not below ours")

// namespaceOwner is the UID, as we see it, that made the user namespace of the
// process, or that made the one around it that lies directly below ours; false
// for a process in our own.
//
// Source: ioctl_ns(2), NS_GET_PARENT and NS_GET_OWNER_UID, Linux 4.9 and 4.11.
func namespaceOwner(pid int) (uid uint32, nested bool, err error) {
	own := proc.Namespace(unix.Getpid(), "user")
	if proc.Namespace(pid, "user") == own {
		return 0, false, nil
	}
	namespace, err := proc.OpenNamespace(pid, "user")
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = namespace.Close() }()
	var ours unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &ours); err != nil {
		return 0, false, err
	}
	const deepest = 32 // Source: user_namespaces(7)
	for range deepest {
		fd, err := unix.IoctlRetInt(int(namespace.Fd()), unix.NS_GET_PARENT)
		if err != nil {
			return 0, false, errors.Join(errNotOurs, err)
		}
		parent := os.NewFile(uintptr(fd), "user namespace")
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Ino == ours.Ino {
			_ = parent.Close()
			if err != nil {
				return 0, false, err
			}
			owner, err := unix.IoctlGetUint32(int(namespace.Fd()), unix.NS_GET_OWNER_UID)
			return owner, true, err
		}
		_ = namespace.Close()
		namespace = parent
	}
	return 0, false, errNotOurs
}
