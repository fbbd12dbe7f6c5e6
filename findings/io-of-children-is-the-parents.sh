#!/bin/bash
# Linux 6.18
#
# /proc/PID/io counts what a process has read and written, and what all of its children have that it has waited for: when a shell's
# `cp` has ended, the shell has written the file, by its own account. The sum over all processes counts a byte once for
# each ancestor. What children have done that are not waited for (SIGCHLD ignored) is counted nowhere.
#
# One would have guessed that the file is about the process, as utime and stime in /proc/PID/stat are, which have cutime and cstime
# beside them for the children; the kernel's documentation speaks of "this task". Whoever looks who writes, or whether a
# process still does something, finds a shell that has only waited.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cat >"$work/io.py" <<'PY'
import os, resource, signal


def written():
    return int(next(line.split()[1] for line in open("/proc/self/io") if line.startswith("wchar")))


def child():
    """A child that writes 64 MiB and ends."""
    pid = os.fork()
    if pid == 0:
        null = os.open("/dev/null", os.O_WRONLY)
        for _ in range(64):
            os.write(null, bytes(1 << 20))
        os._exit(0)
    return pid


before = written()
pid = child()
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print((written() - before) >> 20)
os.waitpid(pid, 0)
print((written() - before) >> 20)
before = written()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
try:
    os.waitpid(child(), 0)
except ChildProcessError:
    print((written() - before) >> 20)
PY
python3 "$work/io.py" >"$work/seen" || unseen "the kernel has no /proc/PID/io"
{ read -r ended; read -r waited; read -r ignored; } <"$work/seen"
claim "MiB written by the parent of a child that has written 64 and ended" 0 "$ended"
claim "once it has waited for it" 64 "$waited"
claim "by one that ignores SIGCHLD" 0 "$ignored"
