#!/bin/bash
# Debian trixie: crun 1.21-1; Linux 6.18
#
# crun first executes itself again from a mount that was cloned with open_tree(2) and is attached nowhere. From
# then on, for as long as it runs, /proc/PID/exe reads "/": no name, no " (deleted)", no "/memfd:". It is
# not a copy: stat(2) through the same link gives the device and inode of /usr/bin/crun, and comm and
# cmdline are those of an ordinary start.
#
# One would have guessed that readlink of /proc/PID/exe tells the program, or at least that there is something
# to tell by (a deleted or memory file, as with older crun and with runc). A supervisor, a profiler or an
# audit rule that goes by the path finds a root directory that is executed; only device and inode tell.
#
# Seen: readlink "/"; stat the same "DEVICE INODE" as that of the installed file.
. "$(dirname "$0")/lib.bash"
stated_kernel 6.18
unpack trixie crun=1.21-1
# It waits for its configuration to be written, so it can be looked at.
mkdir "$work/run/bundle"
mkfifo "$work/run/bundle/config.json"
within /usr/bin/crun --cgroup-manager=disabled --root /run/state run --bundle /run/bundle name >"$work/log" 2>&1 &
pid=$!
started+=("$pid")
for _ in {1..300}; do # until it has executed itself again
	case $(tr '\0' ' ' <"/proc/$pid/cmdline")$(readlink "/proc/$pid/exe") in
	"/usr/bin/crun "*/usr/bin/crun) ;;
	"/usr/bin/crun "*) break ;;
	esac
	sleep 0.1
done 2>/dev/null
[ -e "/proc/$pid/exe" ] || unseen "$(tail -1 "$work/log")"
claim "comm" crun "$(cat "/proc/$pid/comm")"
claim "argv[0]" /usr/bin/crun "$(tr '\0' '\n' <"/proc/$pid/cmdline" | head -1)"
claim "readlink of /proc/PID/exe" / "$(readlink "/proc/$pid/exe")"
claim "device and inode of /proc/PID/exe are those of the installed file" \
	"$(stat -c '%D %i' "$root/usr/bin/crun")" "$(stat -L -c '%D %i' "/proc/$pid/exe")"
