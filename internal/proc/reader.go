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

// ErrBusy is returned when too many earlier reads still hang.
var ErrBusy = errors.New("too many reads of /proc hang")

// Reader reads what lies in another process's own memory: its command line. The
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

// Args reads the arguments of the process, up to 4 KiB of them. A read that
// does not end in time is left behind and goes on holding its slot.
func (r *Reader) Args(ctx context.Context, h *Handle) ([]string, error) {
	select {
	case r.slots <- struct{}{}:
	default:
		return nil, ErrBusy
	}
	type answer struct {
		content []byte
		err     error
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-r.slots }()
		content, err := r.read("/proc/"+strconv.Itoa(h.PID)+"/cmdline", maxCmdline)
		done <- answer{content, err}
	}()
	select {
	case a := <-done:
		if !h.Alive() {
			return nil, ErrGone
		}
		return splitArgs(a.content), a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
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
