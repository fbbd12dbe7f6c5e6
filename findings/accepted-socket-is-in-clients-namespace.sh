#!/bin/bash
# Linux 6.18
#
# The socket that accept(2) returns for a unix connection belongs to the network namespace of the client,
# not to that of the process that accepted it. /proc/net/unix, sock_diag and `ss -x` in the service's
# namespace list the listening socket and not the accepted one; the client's namespace lists both ends.
# A service's open connections can't be counted there as soon as one client is in a container.
#
# One would have guessed that a socket belongs to the namespace of the process that made it, as an accepted TCP
# socket does, or that unix sockets with a path, which connect across namespaces, have none.
#
# Why: the kernel makes the accepted end at connect(2), in the client's context.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cat >"$work/server.py" <<'PY'
import ctypes, fcntl, os, socket, sys

SIOCGSKNS = 0x894C
path = sys.argv[1]


def listed(inode):
    return any(line.split()[6] == str(inode) for line in open("/proc/self/net/unix").readlines()[1:])


def where(sock):
    fd = fcntl.ioctl(sock.fileno(), SIOCGSKNS)
    return "own" if os.fstat(fd).st_ino == os.stat("/proc/self/ns/net").st_ino else "other"


listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
for namespace in "same", "other":
    ask, answer = os.pipe(), os.pipe()
    client = os.fork()
    if client == 0:
        os.close(ask[1])
        if namespace == "other" and ctypes.CDLL(None).unshare(0x40000000) != 0:  # CLONE_NEWNET
            os._exit(1)
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        inode = os.read(ask[0], 100).decode()
        os.write(answer[1], b"listed" if listed(inode) else b"missing")
        os._exit(0)
    conn, _ = listener.accept()
    inode = os.fstat(conn.fileno()).st_ino
    os.write(ask[1], str(inode).encode())
    there = os.read(answer[0], 100).decode()
    os.waitpid(client, 0)
    print("accepted socket: namespace", where(conn), "service sees it", listed(inode), "client's list", there)
PY
python3 "$work/server.py" "$work/socket" >"$work/seen" || unseen "be root"
{ read -r same; read -r other; } <"$work/seen"
claim "client in the same namespace" \
	"accepted socket: namespace own service sees it True client's list listed" "$same"
claim "client in another namespace" \
	"accepted socket: namespace other service sees it False client's list listed" "$other"
