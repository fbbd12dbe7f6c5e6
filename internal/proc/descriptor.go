package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Files are the files that a process has open. What is asked of them after the process's
// end is ErrGone, also where its PID is used again.
type Files struct {
	process *Handle
	dir     *os.File // the process's /proc/PID/fd
}

// Files opens the list of the process's open files.
func (h *Handle) Files() (*Files, error) {
	dir, err := os.Open("/proc/" + strconv.Itoa(h.PID) + "/fd")
	if !h.Alive() {
		if err == nil {
			dir.Close()
		}
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	return &Files{h, dir}, nil
}

// Close lets go of the list.
func (f *Files) Close() { _ = f.dir.Close() }

// Numbers are those of the open files, limit at most, and whether these are all. A file
// that is open all the while is among them.
func (f *Files) Numbers(limit int) (numbers []int, all bool, err error) {
	if _, err := f.dir.Seek(0, 0); err != nil {
		return nil, false, err
	}
	names, err := f.dir.Readdirnames(-1)
	if !f.process.Alive() {
		return nil, false, ErrGone
	}
	if err != nil {
		return nil, false, err
	}
	for _, name := range names[:min(len(names), limit)] {
		if number, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, number)
		}
	}
	return numbers, len(names) <= limit, nil
}

// Target is what the link of an open file says; "" for a number that is no open file. The
// file is not looked at.
func (f *Files) Target(number int) (string, error) {
	var link [64]byte // of a socket; what is longer is cut off
	n, err := unix.Readlinkat(int(f.dir.Fd()), strconv.Itoa(number), link[:])
	switch {
	case errors.Is(err, unix.ESRCH):
		return "", ErrGone
	case errors.Is(err, unix.ENOENT):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("descriptor %d of process %d: %w", number, f.process.PID, err)
	}
	return string(link[:n]), nil
}

// With looks at an open file: it calls look with a duplicate, which is closed as soon as
// look returns. What the process has closed meanwhile is closed no sooner, so look does
// not wait for anything. The error is EBADF for a number that is no open file.
//
// The close may hang with a file that is on a FUSE server; see Within.
//
// Source: pidfd_getfd(2), Linux 5.6. It needs the right to trace the process.
func (f *Files) With(number int, look func(fd int) error) error {
	var fd int
	err := ErrGone
	f.process.control(func(pidfd int) { fd, err = unix.PidfdGetfd(pidfd, number, 0) })
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, ErrGone):
		return ErrGone
	case err != nil:
		return fmt.Errorf("descriptor %d of process %d: %w", number, f.process.PID, err)
	}
	defer unix.Close(fd)
	return look(fd)
}
