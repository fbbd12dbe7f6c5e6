// Command buildwatch-keeper keeps a build's scope in being for as long as the
// build's owner lives, and ends with it.
//
// systemd collects a scope whose last process is gone, so a build's scope would
// come and go with its RUN steps, and the next step would meet it half gone.
// The keeper is one sleeping process in it, in a cgroup of its own beside the
// containers'. It watches the owner by itself, through the pidfd that it was
// started with, so that scope and owner stay tied while the daemon restarts or
// is not there at all. It signals nobody, and nothing depends on its living:
// without it a scope lasts as long as its containers.
package main

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ownerFD is the descriptor that the owner's pidfd is passed as.
const ownerFD = 3

func main() {
	owner := []unix.PollFd{{Fd: ownerFD, Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(owner, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || owner[0].Revents&unix.POLLNVAL != 0:
			os.Exit(1)
		case n > 0:
			return // readable: the owner ended, see pidfd_open(2)
		}
	}
}
