#!/bin/bash
# Linux 6.18
#
# When a thread other than the first of a process calls execve(2), the proc connector (netlink, PROC_EVENT_EXIT) reports the
# exit of the process: process_pid and process_tgid are both its PID. The process lives on as the new program; its pidfd is not
# readable, its parent has nothing to wait for. The thread that is gone for good is not reported. When the process does end, its
# exit is reported a second time.
#
# One would have guessed that an exit whose two numbers are the same is the end of that process, as every example has it. Go
# executes from whatever thread the goroutine is in: what watches processes by the connector believes that they have ended,
# reads an exit status of 0, and loses the rest of their life.
#
# Why: the thread takes over the PID of the first one, and that one's exit is what is reported.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cat >"$work/watch.py" <<'PY'
import os, select, socket, struct, subprocess, sys

NETLINK_CONNECTOR, NLMSG_DONE, CN_IDX_PROC, CN_VAL_PROC, PROC_CN_MCAST_LISTEN = 11, 3, 1, 1, 1
NAMES = {1: "fork", 2: "exec", 0x80000000: "exit"}
PROGRAM = """
import os, sys, threading
def run():
    os.execv("/bin/cat", ["cat"])
sys.stdin.readline()
if sys.argv[1] == "first":
    run()
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
sock = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
sock.bind((0, CN_IDX_PROC))
sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
listen = struct.pack("=IIIIHHI", CN_IDX_PROC, CN_VAL_PROC, 1, 0, 4, 0, PROC_CN_MCAST_LISTEN)
sock.send(struct.pack("=IHHII", 16 + len(listen), NLMSG_DONE, 0, 0, 0) + listen)


def events(pid, last):
    """What is told of the process, up to and with the given event; numbers as process and thread."""
    seen = []
    while select.select([sock], [], [], 30)[0]:
        what, _, _, number, group = struct.unpack("=IIQII", sock.recv(4096)[36:60])
        if what in NAMES and group == pid and what != 1:
            seen.append(NAMES[what] + (" of the process" if number == pid else " of a thread"))
            if NAMES[what] == last:
                return seen
    return seen + ["nothing"]


for thread in "first", "second":
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, thread], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pidfd = os.pidfd_open(child.pid)
    events(child.pid, "exec")  # that of python
    child.stdin.write(b"\n")
    child.stdin.flush()
    told = events(child.pid, "exec")
    child.stdin.write(b"here\n")
    child.stdin.flush()
    alive = child.stdout.readline() == b"here\n" and not select.select([pidfd], [], [], 0)[0]
    child.stdin.close()
    child.wait()
    print(", ".join(told), "(alive)" if alive else "(gone)", "then", ", ".join(events(child.pid, "exit")))
PY
python3 "$work/watch.py" >"$work/seen" 2>"$work/log" || unseen "be root: $(tail -1 "$work/log")"
{ read -r first; read -r second; } <"$work/seen"
claim "the first thread executes" "exec of the process (alive) then exit of the process" "$first"
claim "another thread executes" "exit of the process, exec of the process (alive) then exit of the process" "$second"
