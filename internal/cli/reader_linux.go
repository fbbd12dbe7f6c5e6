package cli

import (
	"context"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// readerGone calls gone when nobody can read any more what is written to out, a
// pipe or a socket: `watch` may have nothing to write for days, and would not find
// out. It waits in the background until then, or until ctx ends.
//
// Source: poll(2), POLLERR for the writing end of a pipe, POLLHUP for a socket.
func readerGone(ctx context.Context, out io.Writer, gone func()) {
	file, ok := out.(*os.File)
	if !ok {
		return
	}
	const slice = 1000 // milliseconds between two looks at ctx
	ends := []unix.PollFd{{Fd: int32(file.Fd())}}
	go func() {
		for ctx.Err() == nil {
			ends[0].Revents = 0
			if n, err := unix.Poll(ends, slice); err != nil && err != unix.EINTR {
				return
			} else if n > 0 && ends[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
				gone()
				return
			}
		}
	}()
}
