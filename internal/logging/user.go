package logging

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// journalSocket is where journald takes entries in its native protocol.
//
// Source: systemd, docs/JOURNAL_NATIVE_PROTOCOL.md.
const journalSocket = "/run/systemd/journal/socket"

// sendAs hands an entry to the journal that is to be in a user's own. Which journal an
// entry is in, and so who may read it, journald tells by the credentials that came with
// it alone, not by any field. The kernel lets who has CAP_SETUID say another UID; the
// entry's _PID=, _EXE= and _SYSTEMD_UNIT= are the daemon's all the same. Of users that
// have no journal (UIDs of the system's, a journal in /run) it is in the system's.
//
// Source: systemd, src/journal/journald-server.c, server_dispatch_message_real and
// server_find_journal; src/journal/journald-context.c, client_context_maybe_refresh
// (252, 257); linux, include/net/scm.h, scm_check_creds.
func sendAs(uid uint32, r record) error { return sendTo(journalSocket, uid, r) }

func sendTo(socket string, uid uint32, r record) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("send to the journal: %w", err)
	}
	defer unix.Close(fd)
	who := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getpid()), Uid: uid, Gid: uint32(os.Getgid())})
	if err := unix.Sendmsg(fd, native(r), who, &unix.SockaddrUnix{Name: socket}, 0); err != nil {
		return fmt.Errorf("send to the journal of UID %d: %w", uid, err)
	}
	return nil
}

// native is an entry in the journal's native protocol. No value has a line's end in it:
// see printable.
func native(r record) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "PRIORITY=%d\nMESSAGE=%s\n", r.priority, r.message)
	for name, value := range r.fields {
		fmt.Fprintf(&b, "%s=%s\n", name, value)
	}
	if r.otherUnit != "" && r.journalOf == nil {
		fmt.Fprintf(&b, "%s=%s\n", objectUnit, r.otherUnit)
	}
	return b.Bytes()
}
