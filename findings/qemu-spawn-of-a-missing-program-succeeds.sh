#!/bin/bash
# Debian trixie: qemu-user 1:10.0.13+ds-0+deb13u1; Debian's arm64 python3 3.13.5-1 with libc6 2.41 (qemu 7.2 and 11.1
# do the same)
#
# posix_spawn(3) of a program that does not exist, in a program that runs under qemu-user, succeeds and returns the PID of a
# child, which exits with 127. Without emulation it fails with ENOENT, and there is no child. Each error
# that the execution may meet is lost in the same way (no permission, no such interpreter).
#
# One would have guessed that an emulated system call fails as the real one, and that whatever tries one program after the
# other (a search through $PATH, "is ccache there?") finds the second. Under emulation it takes the
# first, and fails later.
#
# Why: the library's child shares the parent's memory, and writes the error there. qemu makes a child with memory of its own.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
cat >"$work/spawn.py" <<'PY'
import os

try:
    pid = os.posix_spawn("/nowhere/program", ["program"], {})
    print("success, status of the child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
except OSError as error:
    print("error", error.strerror)
PY
need python3
claim "without emulation" "error No such file or directory" "$(python3 "$work/spawn.py")"
unpack trixie qemu-user=1:10.0.13+ds-0+deb13u1
qemu=$root/usr/bin/qemu-aarch64
arch=arm64 unpack trixie python3-minimal=3.13.5-1
claim "emulated" "success, status of the child 127" "$("$qemu" -L "$root" "$root/usr/bin/python3.13" "$work/spawn.py")"
