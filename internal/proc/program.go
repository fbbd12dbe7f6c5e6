package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ErrOtherProgram is returned for a process that runs another program.
var ErrOtherProgram = errors.New("the process runs another program")

// Runs says whether the process runs the installed program now: the very file,
// for a name could be anybody's. The file is looked up each time, since an
// upgrade replaces it. The error is ErrOtherProgram or ErrGone, or says that there
// is no such file.
func (h *Handle) Runs(program string) error {
	installed, err := identify(program)
	if err != nil {
		return fmt.Errorf("the installed program: %w", err)
	}
	running, err := identify("/proc/" + strconv.Itoa(h.PID) + "/exe")
	if !h.Alive() {
		return ErrGone
	}
	if err != nil || running != installed {
		return ErrOtherProgram
	}
	return nil
}

// Cgroup is where the process is in the unified hierarchy, below its mount: where its
// first thread is that has not ended. One that has stays where it ended when the
// others are moved.
func (h *Handle) Cgroup() (string, error) {
	where, err := cgroupIn(liveDir(h.PID) + "/cgroup")
	if !h.Alive() {
		return "", ErrGone
	}
	return where, err
}

// FileID identifies a file of this boot.
type FileID struct {
	Major, Minor uint32
	Inode        uint64
}

// Program is the file that a process runs.
type Program struct {
	FileID
	// Exe is where /proc/PID/exe points to: a path in the process's own view, which is
	// "/" for a file on a mount that nobody can reach.
	Exe  string
	Size uint64
}

// ProgramOf looks at the program that the process with the PID runs now.
func ProgramOf(pid int) (Program, error) {
	link := liveDir(pid) + "/exe"
	exe, err := os.Readlink(link)
	if err != nil {
		return Program{}, err
	}
	st, err := attributes(link)
	if err != nil {
		return Program{}, err
	}
	if again, err := os.Readlink(link); err != nil || again != exe {
		return Program{}, errors.Join(ErrOtherProgram, err) // it executes another one right now
	}
	return Program{fileID(st), exe, st.Size}, nil
}

// OpenProgram opens the program that the process with the PID runs, to know it by and not
// to read it (O_PATH), if it is that file. No file system is asked.
func OpenProgram(pid int, want FileID) (*os.File, error) {
	fd, err := unix.Open(liveDir(pid)+"/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the program of process %d: %w", pid, err)
	}
	file := os.NewFile(uintptr(fd), "program")
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, 0, &st)
	if err != nil || fileID(st) != want {
		_ = file.Close()
		return nil, errors.Join(ErrOtherProgram, err)
	}
	return file, nil
}

// Program looks at the program that the process runs now.
func (h *Handle) Program() (Program, error) {
	p, err := ProgramOf(h.PID)
	if !h.Alive() {
		return Program{}, ErrGone
	}
	return p, err
}

// IsRoots reports whether a program's file is root's, and nobody else may write it.
func IsRoots(st unix.Statx_t) bool {
	return st.Uid == 0 && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o022 == 0
}

func identify(path string) (FileID, error) {
	st, err := attributes(path)
	return fileID(st), err
}

func fileID(st unix.Statx_t) FileID { return FileID{st.Dev_major, st.Dev_minor, st.Ino} }

// attributes does not ask the file system anew: a program on a FUSE mount whose
// server hangs must not hold the daemon. AT_STATX_DONT_SYNC alone does not keep
// FUSE from asking for what was declared stale; asking for nothing does, and
// what is known already is filled in all the same.
//
// Source: linux, fs/fuse/dir.c, fuse_update_get_attr; fs/stat.c, cp_statx.
func attributes(path string) (unix.Statx_t, error) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, 0, &st)
	return st, err
}
