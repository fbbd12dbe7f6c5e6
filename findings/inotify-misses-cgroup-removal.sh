#!/bin/bash
# Linux 6.18
#
# An inotify watch on a cgroup's cgroup.events (the way to wait for "populated 0") or on its directory
# says nothing when the cgroup is removed: neither IN_DELETE_SELF nor IN_IGNORED comes, the
# watch stays, and inotify_rm_watch of it still succeeds. On tmpfs, and every disk file system, both
# come at once. Only a watch on the parent directory is told (IN_DELETE with the name).
#
# One would have guessed that a watch can't outlive its file, as inotify(7) has it; a program that frees its own table on IN_IGNORED
# keeps one watch of fs.inotify.max_user_watches for each cgroup there ever was.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cgroup
cat >"$work/watch.py" <<'PY'
import ctypes, os, struct, sys, time

libc = ctypes.CDLL(None, use_errno=True)
NAMES = {0x100: "CREATE", 0x200: "DELETE", 0x400: "DELETE_SELF", 0x8000: "IGNORED"}


def watch(path):
    fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    wd = libc.inotify_add_watch(fd, path.encode(), 0x100 | 0x200 | 0x400)
    assert wd > 0, path
    return fd, wd


def events(fd):
    seen = []
    try:
        data = os.read(fd, 65536)
    except BlockingIOError:
        return "nothing"
    while data:
        _, mask, _, size = struct.unpack("iIII", data[:16])
        seen.append(NAMES.get(mask & 0xFFFF, hex(mask)))
        data = data[16 + size:]
    return "+".join(seen)


top, filename = sys.argv[1:]
directory = top + "/child"
os.mkdir(directory)
if not os.path.exists(directory + "/" + filename):
    open(directory + "/" + filename, "w").close()
parent, (file, file_wd), (self, _) = watch(top)[0], watch(directory + "/" + filename), watch(directory)
if not os.path.ismount(top) and os.path.exists(top + "/cgroup.procs"):
    os.rmdir(directory)
else:
    os.unlink(directory + "/" + filename)
    os.rmdir(directory)
time.sleep(1)
print("parent", events(parent), "file", events(file), "rm_watch", libc.inotify_rm_watch(file, file_wd))
PY
mkdir "$work/tmpfs"
mount -t tmpfs none "$work/tmpfs" || unseen "mount (be root)"
undo+=("umount '$work/tmpfs'")
seen=$(python3 "$work/watch.py" "$work/tmpfs" cgroup.events)
claim "tmpfs" "parent DELETE file DELETE_SELF+IGNORED rm_watch -1" "$seen"
seen=$(python3 "$work/watch.py" "$cg" cgroup.events)
claim "cgroup" "parent DELETE file nothing rm_watch 0" "$seen"
