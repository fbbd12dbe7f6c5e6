package observe

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// programs knows which executables are builders.
type programs struct {
	systems map[[2]uint32]bool // devices of the file systems that are trusted
}

// refresh learns the file systems of the programs that are installed now. A file
// of an overlay can have another device than the directory that it is in.
//
// Source: linux, Documentation/filesystems/overlayfs.rst, "Inode properties".
func (p *programs) refresh() {
	for _, file := range append(podman.Programs(), podman.Directories()...) {
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, file, 0, unix.STATX_TYPE, &st); err == nil {
			p.systems[[2]uint32{st.Dev_major, st.Dev_minor}] = true
		}
	}
}

// builder tells whether the process runs a builder's program: a file that is
// root's, that nobody else may write, on one of the host's own file systems. Its
// name says no more than which of these to look at. What is read here, the
// kernel answers without asking a file system that a user may have mounted.
//
// A program in another container's file system is none: what runs in a
// container of `podman run` is not ours.
func (p *programs) builder(pid int) (proc.FileID, bool) {
	if exe := proc.Exe(pid); !podman.IsBuilder(podman.ProgramName(exe, nil)) {
		return proc.FileID{}, false
	}
	program, err := proc.ProgramOf(pid)
	return program.FileID, err == nil && p.trusts(program)
}

func (p *programs) trusts(program proc.Program) bool {
	return program.Roots && p.systems[[2]uint32{program.Major, program.Minor}]
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
