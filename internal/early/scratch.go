package early

import (
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/runtimes"
)

// scratch is what is looked at, and room for what is read. What does not fit in is left to
// the program.
type scratch struct {
	root    string // of the file system: "", but in tests
	path    [4096]byte
	content [1 << 16]byte
	entries [4096]byte
	itself  unix.Statx_t
	other   unix.Statx_t
}

// noRows reports whether no file that podman may read has a row of a runtime, but our own
// drop-in: see podman.ConfigFiles.
func (s *scratch) noRows(own directory) bool {
	const distribution, administrator = podman.DistributionConfig, podman.AdministratorConfig
	return s.quiet(distribution, "") && s.quiet(administrator, "") &&
		s.missing(distribution, "/"+podman.RootDropIns) && s.missing(distribution, "/"+podman.RootlessDropIns) &&
		s.missing(administrator, "/"+podman.RootDropIns) && s.missing(administrator, "/"+podman.RootlessDropIns) &&
		s.missing(administrator, "/"+podman.RootlessConfig) &&
		(own.base == "" || s.quiet(own.base, own.rest))
}

// quiet reports whether neither the main file of a directory has a row, nor its drop-ins.
func (s *scratch) quiet(base, rest string) bool {
	if !s.setPath(base, rest, "/"+podman.ConfigFile) || !s.quietFile(unix.AT_FDCWD, &s.path[0]) {
		return false
	}
	if !s.setPath(base, rest, "/"+podman.ConfigDropIns) {
		return false
	}
	dir, errno := open(unix.AT_FDCWD, &s.path[0], unix.O_DIRECTORY)
	if errno != 0 {
		return absent(errno)
	}
	ok := s.quietDropIns(dir)
	closeFile(dir)
	return ok
}

// quietDropIns looks at each drop-in of an open directory.
//
// Source: getdents64(2), struct linux_dirent64.
func (s *scratch) quietDropIns(dir int) bool {
	const length, name = 16, 19 // where they are in an entry
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_GETDENTS64, uintptr(dir), uintptr(unsafe.Pointer(&s.entries)), uintptr(len(s.entries)))
		if errno != 0 || n == 0 {
			return errno == 0
		}
		for at := uintptr(0); at+name < n; {
			entry := text(&s.entries[at+name])
			if strings.HasSuffix(entry, podman.DropInSuffix) && entry != runtimes.DropIn && !s.quietFile(dir, &s.entries[at+name]) {
				return false
			}
			at += uintptr(s.entries[at+length]) | uintptr(s.entries[at+length+1])<<8
		}
	}
}

// quietFile reports whether a file has no row, or is not there.
func (s *scratch) quietFile(dir int, name *byte) bool {
	file, errno := open(dir, name, unix.O_NONBLOCK|unix.O_NOCTTY)
	if errno != 0 {
		return absent(errno)
	}
	n, ok := s.read(file)
	closeFile(file)
	return ok && !mayHaveRows(unsafe.String(&s.content[0], n))
}

// read reads a regular file whole.
func (s *scratch) read(file int) (n int, ok bool) {
	var empty byte
	if stat(file, &empty, unix.AT_EMPTY_PATH, &s.other) != 0 || s.other.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, false
	}
	for n < len(s.content) {
		got, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(file), uintptr(unsafe.Pointer(&s.content[n])), uintptr(len(s.content)-n))
		if errno != 0 || got == 0 {
			return n, errno == 0
		}
		n += int(got)
	}
	return 0, false
}

// missing reports whether there is no such file or directory.
func (s *scratch) missing(base, name string) bool {
	return s.setPath(base, name, "") && absent(stat(unix.AT_FDCWD, &s.path[0], 0, &s.other))
}

// choose leaves in s.path the first of these paths that is there and is not the wrapper.
func (s *scratch) choose(paths []string) bool {
	const self = "/proc/self/exe\x00"
	if stat(unix.AT_FDCWD, unsafe.StringData(self), 0, &s.itself) != 0 {
		return false
	}
	for _, path := range paths {
		if !s.setPath(path, "", "") {
			return false
		}
		if errno := stat(unix.AT_FDCWD, &s.path[0], 0, &s.other); errno != 0 {
			if !absent(errno) {
				return false
			}
			continue
		}
		same := s.other.Ino == s.itself.Ino && s.other.Dev_major == s.itself.Dev_major && s.other.Dev_minor == s.itself.Dev_minor
		if s.other.Mode&unix.S_IFMT == unix.S_IFREG && !same && !s.leadsToWrapper() {
			return true
		}
	}
	return false
}

// leadsToWrapper reports whether s.path is a link to an installed wrapper, this or another:
// each would call the other for ever.
func (s *scratch) leadsToWrapper() bool {
	at := unix.AT_FDCWD
	n, _, errno := syscall.RawSyscall6(unix.SYS_READLINKAT, uintptr(at), uintptr(unsafe.Pointer(&s.path)), uintptr(unsafe.Pointer(&s.entries)), uintptr(len(s.entries)), 0, 0)
	if errno != 0 {
		return false // no link; n is no number
	}
	target := unsafe.String(&s.entries[0], n)
	return target == runtimes.Program || strings.HasSuffix(target, "/"+runtimes.Program)
}

// setPath makes a path of parts, with a NUL after it.
func (s *scratch) setPath(base, rest, name string) bool {
	n := s.put(s.put(s.put(s.put(0, s.root), base), rest), name)
	if n == len(s.path) {
		return false
	}
	s.path[n] = 0
	return true
}

// put copies a part into the path, and returns where the next one goes.
func (s *scratch) put(at int, part string) int { return at + copy(s.path[at:], part) }

func open(dir int, name *byte, flags uintptr) (file int, errno syscall.Errno) {
	fd, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(name)), flags|unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
	return int(fd), errno
}

func stat(dir int, name *byte, flags uintptr, into *unix.Statx_t) syscall.Errno {
	const mask = unix.STATX_TYPE | unix.STATX_INO
	_, _, errno := syscall.RawSyscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(name)), flags, mask, uintptr(unsafe.Pointer(into)), 0)
	return errno
}

// closeFile: O_CLOEXEC would do for the real runtime, but the program may yet follow.
func closeFile(fd int) { _, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func absent(errno syscall.Errno) bool { return errno == unix.ENOENT || errno == unix.ENOTDIR }
