#!/bin/bash
# Linux 6.18
#
# A client's SO_PEERCRED and SO_PEERPIDFD name who has called listen(2) last on the socket that it connected to. A second
# listen(2) on a socket that listens already, by a process that inherited it, makes this process the peer; without it
# the peer stays the one that made the socket, though it may have ended long ago.
#
# One would have guessed that a second listen changes the backlog, or nothing, and that the peer is who has accepted, or
# whoever made the socket. Of a service that systemd has started by its socket, clients see PID 1 or the service: as
# its language's library calls listen again on what it is handed (Python's asyncio) or does not (Go's FileListener).
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cat >"$work/peer.py" <<'PY'
import os, socket, struct, sys

SO_PEERPIDFD = 77


def peer(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    pid = struct.unpack("iii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    pidfd = sock.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    (behind,) = [line.split()[1] for line in open("/proc/self/fdinfo/%d" % pidfd) if line.startswith("Pid:")]
    return " ".join(names.get(number, "?") for number in (pid, int(behind)))


path = sys.argv[1]
names = {os.getpid(): "maker"}
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
server = os.fork()
if server == 0:
    names[os.getpid()] = "server"
    before = peer(path)
    listener.accept()
    accepted = peer(path)
    listener.listen()
    print(before, accepted, peer(path), sep="\n")
else:
    os.waitpid(server, 0)
PY
python3 "$work/peer.py" "$work/socket" >"$work/seen" 2>"$work/log" || unseen "$(tail -1 "$work/log")"
[ -s "$work/seen" ] || unseen "$(tail -1 "$work/log")"
{ read -r before; read -r accepted; read -r again; } <"$work/seen"
claim "SO_PEERCRED and SO_PEERPIDFD, with a socket that was inherited" "maker maker" "$before"
claim "when the heir has accepted a connection" "maker maker" "$accepted"
claim "when it has called listen" "server server" "$again"
