package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"github.com/buildwatch/buildwatch/internal/share"
)

// Bounds on the reads that may be under way, and so hang, each in a thread of the
// daemon. An account's further ones wait for these.
const (
	readsOfUser  = 4
	readsOfUsers = 48
	readsSpare   = 12 // of these, for users who have none under way
	readsOfRoot  = 16
)

var reads = share.Bounds{User: readsOfUser, Users: readsOfUsers, Spare: readsSpare, Few: 1, Root: readsOfRoot}

// maxCmdline is how much of a command line is read, in bytes.
const maxCmdline = 4096

// maxEnviron is how much of an environment is read, in bytes.
const maxEnviron = 1 << 20

// ErrHangs is returned for a read that was made before, and still hangs.
var ErrHangs = errors.New("a read of /proc hangs")

// ErrTooLong is returned for an environment that is larger than what is read.
var ErrTooLong = errors.New("the environment is too long")

// Reader reads what lies in another process's own memory: its command line, its
// environment. The kernel fetches it as the process itself would, so a process can
// make the reader wait for ever, behind a FUSE server of its own (CVE-2018-1120) or its
// mmap lock. So each user's reads wait for that user's alone, and what hangs is
// not read a second time. The zero value is not usable; see NewReader.
type Reader struct {
	*Accounts
	places *share.Pool
	read   func(path string, limit int64) ([]byte, error) // readLimited, but in tests
	of     func(h *Handle) (share.Account, error)         // accountOf, but in tests

	mu     sync.Mutex // lock order: 6
	flying map[page]*flight
}

// page is something that is read of one process.
type page struct {
	of   Identity
	name string
}

// flight is a read under way, which everybody shares who wants the same.
type flight struct {
	done    chan struct{} // closed when it has ended, and what follows is set
	content []byte
	err     error

	hangs bool // somebody has waited in vain; guarded by the Reader's lock
}

// NewReader returns a reader that lets a bounded number of each user's reads hang.
func NewReader() *Reader {
	r := &Reader{Accounts: NewAccounts(), places: share.NewPool(reads), read: readLimited, flying: map[page]*flight{}}
	r.of = r.accountOf
	return r
}

// accountOf is whose reads of the process count as.
func (r *Reader) accountOf(h *Handle) (share.Account, error) {
	uid, err := h.UID()
	return r.OfProcess(h, uid), err
}

// InFlight is how many reads are under way, and so may hang.
func (r *Reader) InFlight() int { return r.places.InUse() }

// Args reads the arguments of the process, up to 4 KiB of them.
func (r *Reader) Args(ctx context.Context, h *Handle) ([]string, error) {
	content, err := r.page(ctx, h, "cmdline", maxCmdline)
	if err != nil {
		return nil, err
	}
	return splitArgs(content), nil
}

// Env reads one variable of the environment that the process was started with, and
// returns "" for one that is not there.
func (r *Reader) Env(ctx context.Context, h *Handle, name string) (string, error) {
	content, err := r.page(ctx, h, "environ", maxEnviron)
	switch {
	case err != nil:
		return "", err
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

// page reads a file of the process's, or waits for a read of it that is under way. One
// that hangs is not waited for a second time.
func (r *Reader) page(ctx context.Context, h *Handle, name string, limit int64) ([]byte, error) {
	p := page{h.Identity, name}
	r.mu.Lock()
	f := r.flying[p]
	switch {
	case f == nil:
		of, err := r.of(h)
		if err != nil {
			r.mu.Unlock()
			return nil, err
		}
		f = &flight{done: make(chan struct{})}
		r.flying[p] = f
		go r.fly(ctx, f, p, of, limit)
	case f.hangs:
		r.mu.Unlock()
		return nil, ErrHangs
	}
	r.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		r.mu.Lock()
		f.hangs = true
		r.mu.Unlock()
		return nil, fmt.Errorf("%w: %w", ErrHangs, context.Cause(ctx))
	}
	if !h.Alive() {
		return nil, ErrGone
	}
	return f.content, f.err
}

// fly makes a read. It waits for a place no longer than who asked first.
func (r *Reader) fly(ctx context.Context, f *flight, p page, of share.Account, limit int64) {
	release, err := r.places.Wait(ctx, of)
	if err == nil {
		f.content, err = r.read("/proc/"+strconv.Itoa(p.of.PID)+"/"+p.name, limit)
		release()
	}
	f.err = err
	r.mu.Lock()
	delete(r.flying, p)
	r.mu.Unlock()
	close(f.done)
}

// Within reads, for an account, something else that may hang, and returns its answer or
// the context's cause. A read that does not end in time is left behind, and goes on
// holding its place.
func Within[T any](ctx context.Context, r *Reader, of share.Account, read func() (T, error)) (T, error) {
	release, err := r.places.Wait(ctx, of)
	if err != nil {
		var zero T
		return zero, err
	}
	return Aside(ctx, release, read)
}

// Aside reads something that may hang, for callers who have a place for that. release is called
// when the read has ended, however late, before it is answered.
func Aside[T any](ctx context.Context, release func(), read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := read()
		release()
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		var zero T
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
