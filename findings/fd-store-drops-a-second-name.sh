#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1
#
# A service that stores a descriptor (FDSTORE=1, sd_notify) under one FDNAME and its duplicate under another finds one
# descriptor and the first name after a restart; the second message is dropped without a word. Descriptors
# that were opened apart are both kept, be they of one file or pidfds of one process. And FDNAME=a:b, which
# holds the character that LISTEN_FDNAMES separates by, stores the descriptor under the name "stored".
#
# One would have guessed that the name is the key, as FDSTOREREMOVE=1 with FDNAME= has it, and that the same file
# under two names is two entries (as two names of a dup'ed socket in LISTEN_FDNAMES are), or an error.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
insh 'cat >/root/store.py' <<'PY'
import os, socket, struct, time


def send(text, *fds):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i" * len(fds), *fds))] if fds else []
    sock.sendmsg([text.encode()], control, 0, os.environ["NOTIFY_SOCKET"])


first = os.open("/etc/passwd", os.O_RDONLY)
send("FDSTORE=1\nFDNAME=first", first)
send("FDSTORE=1\nFDNAME=duplicate", os.dup(first))
send("FDSTORE=1\nFDNAME=again", os.open("/etc/passwd", os.O_RDONLY))
for name in "pidfd", "pidfd-again":
    send("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, os.pidfd_open(1))
send("FDSTORE=1\nFDNAME=a:b", os.open("/etc/group", os.O_RDONLY))
send("READY=1")
time.sleep(600)
PY
seen=$(insh 'systemd-run -q -u findings -p Type=notify -p NotifyAccess=all -p FileDescriptorStoreMax=20 python3 /root/store.py
	systemctl show -P NFileDescriptorStore findings
	systemd-analyze --no-pager --json=short fdstore findings.service | grep -o "\"fdname\":\"[^\"]*" | cut -d\" -f4 | sort | paste -sd " "')
{ read -r count; read -r names; } <<<"$seen"
claim "descriptors in the store, of 6 that were sent" 5 "$count"
claim "their names" "again first pidfd pidfd-again stored" "$names"
