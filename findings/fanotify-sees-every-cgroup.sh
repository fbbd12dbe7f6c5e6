#!/bin/bash
# Linux 6.18
#
# One fanotify mark (FAN_MARK_FILESYSTEM, FAN_REPORT_DFID_NAME) on any directory of a cgroup v2 mount reports, by
# name, every cgroup that is made or removed anywhere in the hierarchy, beside that directory and below cgroups that
# were made after the mark, too. A cgroup that comes and goes before the reader looks is one
# event with both bits.
#
# One would have guessed that it is refused as on the other file systems of the kernel's own (procfs: ENOTSUP), and
# that a tree of cgroups has to be watched by inotify, a watch for each directory and a race at each new one.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cgroup
cat >"$work/watch.py" <<'PY'
import ctypes, errno, os, struct, sys, time

REPORT_DFID_NAME, NONBLOCK, CLOEXEC = 0x400 | 0x800, 2, 1
MARK_ADD, MARK_FILESYSTEM, AT_FDCWD = 1, 0x100, -100
CREATE, DELETE, ONDIR = 0x100, 0x200, 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.fanotify_mark.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_uint64, ctypes.c_int, ctypes.c_char_p]


def mark(path):
    fd = libc.fanotify_init(REPORT_DFID_NAME | NONBLOCK | CLOEXEC, 0)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    if libc.fanotify_mark(fd, MARK_ADD | MARK_FILESYSTEM, CREATE | DELETE | ONDIR, AT_FDCWD, path.encode()):
        return fd, errno.errorcode[ctypes.get_errno()]
    return fd, "watched"


def events(fd, prefix):
    time.sleep(0.2)
    seen = []
    try:
        data = os.read(fd, 1 << 20)
    except BlockingIOError:
        return "nothing"
    while data:
        size, _, _, _, mask, _, _ = struct.unpack("IBBHQii", data[:24])
        info, data = data[24:size], data[size:]
        (handle,) = struct.unpack("I", info[12:16])
        name = info[20 + handle:].split(b"\0")[0].decode()
        if name.startswith(prefix):
            seen.append(name[len(prefix):] + ("+" if mask & CREATE else "") + ("-" if mask & DELETE else ""))
    return " ".join(seen) or "nothing"


top = sys.argv[1]
prefix = "findings-%d-" % os.getpid()
one, two = top + "/" + prefix + "one", top + "/" + prefix + "one/" + prefix + "two"
print(mark("/proc")[1])
os.mkdir(one)
fd, result = mark(one)
print(result)
os.mkdir(two)
os.mkdir(two + "/" + prefix + "three")
os.mkdir(top + "/" + prefix + "outside")
print(events(fd, prefix))
os.rmdir(two + "/" + prefix + "three")
os.rmdir(top + "/" + prefix + "outside")
print(events(fd, prefix))
os.mkdir(two + "/" + prefix + "brief")
os.rmdir(two + "/" + prefix + "brief")
print(events(fd, prefix))
PY
python3 "$work/watch.py" "$cg" >"$work/seen" || unseen "be root"
{ read -r proc; read -r result; read -r made; read -r removed; read -r brief; } <"$work/seen"
claim "a mark on /proc" ENOTSUP "$proc"
claim "a mark on a cgroup" watched "$result"
claim "made below it, below that, and beside it" "two+ three+ outside+" "$made"
claim "removed" "three- outside-" "$removed"
claim "made and removed before the read" "brief+-" "$brief"
