package proc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strconv"
)

// maxReaders bounds the reads of other processes' memory that may hang at once.
const maxReaders = 16

// maxCmdline is how much of a command line is read, in bytes.
const maxCmdline = 4096

// maxEnviron is how much of an environment is read, in bytes.
const maxEnviron = 1 << 20

// ErrBusy is returned when too many earlier reads still hang.
var ErrBusy = errors.New("too many reads of /proc hang")

// ErrTooLong is returned for an environment that is larger than what is read.
var ErrTooLong = errors.New("the environment is too long")

// Reader reads what lies in another process's own memory: its command line, its environment. The
// kernel fetches it as the process itself would, so a process can make the
// reader wait for ever, behind a FUSE server of its own (CVE-2018-1120) or its
// mmap lock. The zero value is not usable; see NewReader.
type Reader struct {
	slots chan struct{}
	read  func(path string, limit int64) ([]byte, error) // readLimited, but in tests
}

// NewReader returns a reader that lets at most 16 reads hang.
func NewReader() *Reader { return &Reader{slots: make(chan struct{}, maxReaders), read: readLimited} }

// Stuck is how many reads are under way, and so may hang.
func (r *Reader) Stuck() int { return len(r.slots) }

// Args reads the arguments of the process, up to 4 KiB of them.
func (r *Reader) Args(ctx context.Context, h *Handle) ([]string, error) {
	content, err := Within(ctx, r, func() ([]byte, error) {
		return r.read("/proc/"+strconv.Itoa(h.PID)+"/cmdline", maxCmdline)
	})
	switch {
	case errors.Is(err, ErrBusy), err != nil && ctx.Err() != nil:
		return nil, err
	case !h.Alive():
		return nil, ErrGone
	}
	return splitArgs(content), err
}

// Env reads one variable of the environment that the process was started with, and
// returns "" for one that is not there.
func (r *Reader) Env(ctx context.Context, h *Handle, name string) (string, error) {
	content, err := Within(ctx, r, func() ([]byte, error) {
		return r.read("/proc/"+strconv.Itoa(h.PID)+"/environ", maxEnviron)
	})
	switch {
	case err != nil:
		return "", err
	case !h.Alive():
		return "", ErrGone
	case len(content) == maxEnviron:
		return "", ErrTooLong
	}
	for field := range bytes.SplitSeq(content, []byte{0}) {
		if value, ok := bytes.CutPrefix(field, []byte(name+"=")); ok {
			return string(value), nil
		}
	}
	return "", nil
}

// Within reads something that may hang, and returns its answer, ErrBusy, or the
// context's cause. A read that does not end in time is left behind, and goes on
// holding its slot.
func Within[T any](ctx context.Context, r *Reader, read func() (T, error)) (T, error) {
	var zero T
	select {
	case r.slots <- struct{}{}:
	default:
		return zero, ErrBusy
	}
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-r.slots }()
		value, err := read()
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

// splitArgs takes apart what proc_pid_cmdline(5) describes: strings, each ended
// by a NUL.
func splitArgs(content []byte) []string {
	content = bytes.TrimSuffix(content, []byte{0})
	if len(content) == 0 {
		return nil
	}
	var args []string
	for field := range bytes.SplitSeq(content, []byte{0}) {
		args = append(args, string(field))
	}
	return args
}
