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

// The descriptors that are passed: the owner's pidfd, and, if there is an argument, a pipe
// whose other end is closed when the keeper is in its scope.
const ownerFD, placedFD = 3, 4

// awaitPlace waits until the pipe is closed.
func awaitPlace() {
	var b [1]byte
	for {
		if _, err := unix.Read(placedFD, b[:]); !errors.Is(err, unix.EINTR) {
			_ = unix.Close(placedFD)
			return
		}
	}
}

func main() {
	if len(os.Args) > 1 {
		awaitPlace()
		// What memory a process has touched stays charged to the cgroup that it was in
		// then: some 800 KB, of the daemon's 256 MB, for each build. So it begins anew
		// where it belongs. If that can't be, nothing is lost but that.
		//
		// Source: linux, Documentation/admin-guide/cgroup-v2.rst, "Memory Ownership".
		if self, err := os.Executable(); err == nil { // /proc/self/exe would be its name, too
			_ = unix.Exec(self, os.Args[:1], nil)
		}
	}
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
