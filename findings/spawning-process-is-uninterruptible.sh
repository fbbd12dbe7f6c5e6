#!/bin/bash
# Linux 6.18; glibc 2.36
#
# While the child of a posix_spawn(3) has not executed its program yet (here it opens a FIFO that nobody writes to; a program on
# a network or FUSE file system that does not answer is the same), the parent is in state D, "disk sleep". SIGTERM ends neither
# of the two; SIGKILL ends the parent, and the child goes on, with the parent's command line, though it was never meant to
# be more than the beginning of another program.
#
# One would have guessed that a process in state D waits for a device, and that a signal with its default action, or SIGKILL
# in any case only when the device answers, ends it; and that what has one memory with its parent ends with it.
#
# Why: the parent waits as after vfork(2), killable; the C library has blocked all signals in both.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
mkfifo "$work/fifo"
cat >"$work/spawn.py" <<'PY'
import os, sys

print(os.getpid(), flush=True)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])
PY
: >"$work/pid"
python3 "$work/spawn.py" "$work/fifo" >"$work/pid" &
until parent=$(cat "$work/pid") && [ -n "$parent" ] && child=$(cat "/proc/$parent/task/$parent/children") && [ -n "$child" ]; do sleep 0.1; done
child=${child% }
started+=("$parent" "$child")
state() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1; }
waits() { # waits STATE: for the parent to be in it
	local _
	for _ in {1..100}; do
		[ "$(state "$parent")" != "$1" ] || return 0
		sleep 0.1
	done
}
waits D
claim "state of the parent and of the child" "D S" "$(state "$parent") $(state "$child")"
kill -TERM "$parent" "$child"
sleep 1
claim "after SIGTERM to both" "D S" "$(state "$parent") $(state "$child")"
kill -KILL "$parent"
wait 2>/dev/null || true
claim "after SIGKILL to the parent" " S" "$(state "$parent") $(state "$child")"
claim "the child's command line ends with" "spawn.py $work/fifo" "$(tr '\0' ' ' <"/proc/$child/cmdline" | grep -o "spawn.py $work/fifo")"
