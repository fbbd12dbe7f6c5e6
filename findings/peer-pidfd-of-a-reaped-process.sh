#!/bin/bash
# Linux 6.18
#
# getsockopt(SO_PEERPIDFD) on a unix socket whose peer has ended *and was reaped* still returns a pidfd,
# and ioctl(PIDFD_GET_INFO) on it tells that process's exit status and the ID of the cgroup it was in,
# to somebody who is neither its parent nor its tracer. SO_PEERCRED's PID of the same socket is
# nobody's any more: pidfd_open of it fails with ESRCH, or finds whoever has that number now.
#
# One would have guessed ESRCH, as from pidfd_open(2) (before 6.16 that was what came), and that an exit
# status is its parent's to read and gone once it has.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cat >"$work/peer.py" <<'PY'
import ctypes, errno, fcntl, os, signal, socket, struct

SO_PEERPIDFD = 77
PIDFD_GET_INFO = 0xC000_0000 | 64 << 16 | 0xFF << 8 | 11  # _IOWR(0xFF, 11, struct pidfd_info of 64 bytes)
CGROUPID, EXIT = 4, 8

listener = socket.socket(socket.AF_UNIX)
listener.bind("\0findings-%d" % os.getpid())
listener.listen()
middle = os.fork()
if middle == 0:  # the peer's parent, which reaps it
    peer = os.fork()
    if peer == 0:
        client = socket.socket(socket.AF_UNIX)
        client.connect(listener.getsockname())
        os._exit(7)
    os.waitpid(peer, 0)
    os._exit(0)
os.waitpid(middle, 0)
conn, _ = listener.accept()

pid, _, _ = struct.unpack("iII", conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
try:
    os.pidfd_open(pid)
    print("open")
except OSError as error:
    print(errno.errorcode[error.errno])
try:
    (pidfd,) = struct.unpack("i", conn.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD, 4))
    info = bytearray(64)
    struct.pack_into("Q", info, 0, CGROUPID | EXIT)
    fcntl.ioctl(pidfd, PIDFD_GET_INFO, info, True)
    mask, cgroup = struct.unpack_from("QQ", info)
    (status,) = struct.unpack_from("i", info, 60)
    print("mask", mask, "exit", os.waitstatus_to_exitcode(status), "cgroup", cgroup > 0)
except OSError as error:
    print(errno.errorcode[error.errno])
try:
    signal.pidfd_send_signal(pidfd, 0)
    print("sent")
except OSError as error:
    print(errno.errorcode[error.errno])
PY
python3 "$work/peer.py" >"$work/seen"
{ read -r by_pid; read -r info; read -r sent; } <"$work/seen"
claim "pidfd_open of SO_PEERCRED's PID" ESRCH "$by_pid"
claim "PIDFD_GET_INFO of SO_PEERPIDFD's pidfd" "mask 12 exit 7 cgroup True" "$info"
claim "a signal by that pidfd" ESRCH "$sent"
