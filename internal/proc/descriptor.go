package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// WithDescriptor looks at one of the process's open files: it calls look with a
// duplicate, which is closed as soon as look returns. What the process has closed
// meanwhile is closed no sooner, so look does not wait for anything. The error is
// ErrGone for a process that has ended, and EBADF for a number that is no open file.
//
// The close may hang with a file that is on a FUSE server; see Within.
//
// Source: pidfd_getfd(2), Linux 5.6. It needs the right to trace the process.
func (h *Handle) WithDescriptor(number int, look func(fd int) error) error {
	var fd int
	err := ErrGone
	h.control(func(pidfd int) { fd, err = unix.PidfdGetfd(pidfd, number, 0) })
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, ErrGone):
		return ErrGone
	case err != nil:
		return fmt.Errorf("descriptor %d of process %d: %w", number, h.PID, err)
	}
	defer unix.Close(fd)
	return look(fd)
}

// Descriptors are the numbers of the process's open files, limit at most, and whether
// these are all. A file that is open all the while is among them.
func (h *Handle) Descriptors(limit int) (numbers []int, all bool, err error) {
	dir, err := os.Open("/proc/" + strconv.Itoa(h.PID) + "/fd")
	if err != nil {
		return nil, false, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if !h.Alive() {
		return nil, false, ErrGone
	}
	if err != nil {
		return nil, false, err
	}
	all = len(names) <= limit
	for _, name := range names[:min(len(names), limit)] {
		if number, err := strconv.Atoi(name); err == nil {
			numbers = append(numbers, number)
		}
	}
	return numbers, all, nil
}

// DescriptorTarget is what the link of an open file in /proc says; "" for a number that
// is no open file. The file is not looked at.
func (h *Handle) DescriptorTarget(number int) (string, error) {
	target, err := os.Readlink("/proc/" + strconv.Itoa(h.PID) + "/fd/" + strconv.Itoa(number))
	switch {
	case !h.Alive():
		return "", ErrGone
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	}
	return target, err
}
