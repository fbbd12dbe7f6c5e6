#!/bin/bash
# Linux 6.18
#
# An inotify watch on a cgroup's directory reports that the kernel changed cgroup.events only if somebody
# has looked that file up before: one stat(2), by anybody, turns the events on. Without it the same
# change is silent, while what programs write (cgroup.procs) is reported in both cases.
#
# One would have guessed that a look at a file changes nothing about the next event of it, and that the
# directory's watch covers its children alike. A test that reads the file first, to know where
# it starts from, always passes.
#
# Why: the kernel raises the event on the file's inode if it finds one in memory; a file of a cgroup
# has one from the first lookup until memory is reclaimed. A watch on the file itself keeps it.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cgroup
cat >"$work/watch.py" <<'PY'
import ctypes, os, struct, subprocess, sys, time

libc = ctypes.CDLL(None)
IN_MODIFY = 2


def seen(directory, look):
    os.mkdir(directory)
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert libc.inotify_add_watch(fd, directory.encode(), IN_MODIFY) > 0
    if look:
        os.stat(directory + "/cgroup.events")
    member = subprocess.Popen(["sleep", "60"])
    with open(directory + "/cgroup.procs", "w") as procs:
        procs.write(str(member.pid))
    time.sleep(0.5)
    member.kill()
    member.wait()
    time.sleep(1)
    names, data = set(), os.read(fd, 65536)
    while data:
        _, _, _, size = struct.unpack("iIII", data[:16])
        names.add(data[16:16 + size].rstrip(b"\0").decode())
        data = data[16 + size:]
    return " ".join(sorted(names))


print(seen(sys.argv[1] + "/unseen", False))
print(seen(sys.argv[1] + "/seen", True))
PY
python3 "$work/watch.py" "$cg" >"$work/seen"
{ read -r without; read -r with; } <"$work/seen"
claim "files reported as changed, nobody having looked" "cgroup.procs" "$without"
claim "files reported as changed after a stat of cgroup.events" "cgroup.events cgroup.procs" "$with"
