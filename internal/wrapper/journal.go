package wrapper

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// journalSocket takes datagrams of FIELD=value lines.
//
// Source: systemd, docs/JOURNAL_NATIVE_PROTOCOL.md.
const journalSocket = "/run/systemd/journal/socket"

// report leaves one line in the journal about a container that runs outside its
// build's scope. The daemon can't tell of it when it is the daemon that is not
// there, and the build's own output belongs to the build.
func report(container string, cause error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer unix.Close(socket)
	// strconv.Quote keeps a newline in a name from beginning a field of its own.
	entry := fmt.Sprintf("PRIORITY=5\nSYSLOG_IDENTIFIER=buildwatch-runtime\nBUILDWATCH_CONTAINER=%s\nMESSAGE=%s\n",
		strconv.Quote(container),
		"Container "+strconv.Quote(container)+" runs outside a build's scope: "+strconv.Quote(cause.Error()))
	_ = unix.Sendto(socket, []byte(entry), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: journalSocket})
}
