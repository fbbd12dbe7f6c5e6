package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// journalSocket is where journald takes entries in its native protocol.
//
// Source: systemd, docs/JOURNAL_NATIVE_PROTOCOL.md.
const journalSocket = "/run/systemd/journal/socket"

// persistentJournals is there if journals outlive a boot, and users have journals of their own.
//
// Source: journald.conf(5), Storage=, SplitMode=.
const persistentJournals = "/var/log/journal"

// sendAs hands an entry to the journal that is to be in a user's own. Which journal an
// entry is in, and so who may read it, journald tells by the credentials that came with
// it alone, not by any field. The kernel lets who has CAP_SETUID say another UID; the
// entry's _PID=, _EXE= and _SYSTEMD_UNIT= are the daemon's all the same. Of users that
// have no journal (see hasJournal) it would be in the system's.
//
// Source: systemd, src/journal/journald-server.c, server_dispatch_message_real and
// server_find_journal; src/journal/journald-context.c, client_context_maybe_refresh
// (252, 257); linux, include/net/scm.h, scm_check_creds.
func sendAs(uid uint32, r record) error { return sendTo(journalSocket, uid, r) }

// lastSystemUID is the last UID of the system's, whose entries are in the system's journal.
//
// Source: systemd, meson_options.txt, system-uid-max (252, 257); login.defs(5), SYS_UID_MAX.
const lastSystemUID = 999

// hasJournal reports whether a user may have a journal. An entry for one who surely has none would be
// the system's a second time. persistent is the directory that is there if journals are kept.
func hasJournal(uid uint32, persistent string) bool {
	if uid <= lastSystemUID {
		return false
	}
	_, err := os.Stat(persistent)
	return !errors.Is(err, fs.ErrNotExist)
}

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
