#!/bin/bash
# Linux 6.18 (binfmt_misc of user namespaces, since 6.7)
#
# A user namespace in which nobody has mounted binfmt_misc uses the handlers of the one above it: an emulated program runs. To
# mount binfmt_misc in it, without registering anything, takes all of them away, from every process of the user namespace,
# in other mount namespaces too, and for good: after umount the program still can't be executed. In the namespace that
# has handlers of its own, umount of the last mount removes them.
#
# One would have guessed that the new file system shows what is in force, as /proc/sys/fs/binfmt_misc of a container always
# did, or adds to it; that a mount is seen by those who see the mount point; and that umount undoes it. Whoever mounts it in
# `podman unshare`, to look whether qemu is registered, is in the one user namespace of all of that user's containers.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need unshare python3
stated_kernel 6.18
chmod 755 "$work"
mkdir "$work/outer" "$work/inner"
printf 'FINDINGS\n' >"$work/program"
chmod 755 "$work/program"
cat >"$work/try.py" <<'PY'
import subprocess, sys

try:
    subprocess.run([sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
    print("runs")
except OSError as error:
    print(error.strerror)
PY
cat >"$work/inner.sh" <<'SH'
try() { python3 "$1/try.py" "$1/program"; }
try "$1"
unshare --mount sh -ec 'mount -t binfmt_misc none "$1/inner"; ls "$1/inner" | paste -sd " "' - "$1"
try "$1"
SH
cat >"$work/outer.sh" <<'SH'
try() { python3 "$1/try.py" "$1/program"; }
mount -t binfmt_misc none "$1/outer"
try "$1"
echo ":findings:M::FINDINGS::/bin/echo:" >"$1/outer/register"
try "$1"
unshare --user --map-root-user bash -e "$1/inner.sh" "$1"
try "$1"
umount "$1/outer"
try "$1"
SH
unshare --user --map-root-user --mount bash -e "$work/outer.sh" "$work" >"$work/seen" 2>"$work/log" || unseen "$(tail -1 "$work/log")"
{ read -r before; read -r outer; read -r below; read -r files; read -r mounted; read -r above; read -r unmounted; } <"$work/seen"
claim "before a handler is registered, and with it" "Exec format error, runs" "$before, $outer"
claim "in a user namespace below" runs "$below"
claim "files of binfmt_misc that is mounted there" "register status" "$files"
claim "there, outside of the mount namespace that had the mount and has ended" "Exec format error" "$mounted"
claim "above, meanwhile" runs "$above"
claim "above, after umount" "Exec format error" "$unmounted"
