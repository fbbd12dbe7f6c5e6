#!/bin/bash
# Linux 6.18
#
# A zombie counts in pids.current of its cgroup and of all above, and against their pids.max (TasksMax=), although cgroup.procs
# does not list it. It goes on counting when its cgroup was removed, which an empty cgroup may be: then a
# process that is in no cgroup keeps others from forking, until it is reaped.
#
# One would have guessed that what populated and cgroup.procs say to be empty uses nothing: `rmdir` has succeeded, every container
# is gone, and fork fails with EAGAIN because a parent somewhere else does not wait for its children.
#
# Seen: as in the claims at the end. The pids controller of cgroup v1 and v2 is the same one; whichever is there is used.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
top=$(awk '$3 == "cgroup" && ("," $4 ",") ~ /,pids,/ {print $2; exit}' /proc/self/mounts)
if [ -z "$top" ]; then
	top=$(awk '$3 == "cgroup2" {print $2; exit}' /proc/self/mounts)
	grep -qw pids "$top/cgroup.subtree_control" || unseen "no pids controller"
fi
cat >"$work/zombie.py" <<'PY'
import os, sys

above = sys.argv[1]
below = above + "/below"


def read(path):
    return open(path).read().split()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def child(cgroup, work):
    pid = os.fork()
    if pid == 0:
        write(cgroup + "/cgroup.procs", "0")
        os._exit(work())
    return pid


def fork():
    try:
        pid = os.fork()
    except BlockingIOError:
        return 1
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return 0


def try_fork():
    return ["forks", "can't fork"][os.waitstatus_to_exitcode(os.waitpid(child(above, fork), 0)[1])]


os.mkdir(above)
if os.path.exists(above + "/cgroup.subtree_control"):
    write(above + "/cgroup.subtree_control", "+pids")
os.mkdir(below)
zombie = child(below, lambda: 0)
os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
print(len(read(below + "/cgroup.procs")), read(below + "/pids.current")[0])
os.rmdir(below)
print(len(read(above + "/cgroup.procs")), read(above + "/pids.current")[0])
if os.path.exists(above + "/cgroup.subtree_control"):
    write(above + "/cgroup.subtree_control", "-pids")
write(above + "/pids.max", "2")
print(try_fork())
os.waitpid(zombie, 0)
print(read(above + "/pids.current")[0], try_fork())
os.rmdir(above)
PY
undo+=("rmdir '$top/findings-$$/below' '$top/findings-$$' 2>/dev/null")
python3 "$work/zombie.py" "$top/findings-$$" >"$work/seen" 2>"$work/log" || unseen "be root: $(tail -1 "$work/log")"
{ read -r zombie; read -r removed; read -r fork; read -r reaped; } <"$work/seen"
claim "its cgroup: processes that are listed, and pids.current" "0 1" "$zombie"
claim "the cgroup above, when that one is removed" "0 1" "$removed"
claim "a process there with pids.max 2" "can't fork" "$fork"
claim "when the zombie is reaped" "0 forks" "$reaped"
