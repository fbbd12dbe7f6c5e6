package machine

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Locks are flock(2)s: the kernel drops them when their process ends, however
// it ends, so that a lock that can be taken proves that nobody lives behind it.

// lockFile waits for the exclusive lock on a file, which it creates. Closing
// the file unlocks.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	locked := make(chan error, 1)
	go func() { locked <- unix.Flock(int(file.Fd()), unix.LOCK_EX) }()
	select {
	case err = <-locked:
	case <-ctx.Done():
		// The waiting call can't be interrupted; it ends with this process.
		return nil, context.Cause(ctx)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}

// tryLockFile takes the exclusive lock on a file, which it creates, or returns
// unix.EWOULDBLOCK while another process has it.
func tryLockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return flock(file, unix.LOCK_EX|unix.LOCK_NB)
}

// lockDir locks an existing directory.
func lockDir(path string, how int) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return flock(dir, how)
}

func flock(file *os.File, how int) (*os.File, error) {
	if err := unix.Flock(int(file.Fd()), how); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
