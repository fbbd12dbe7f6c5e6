#!/bin/bash
# Linux 6.18
#
# Writing the PID of a process whose main thread has exited, while other threads work, into another
# cgroup's cgroup.procs succeeds and moves the working threads only. From then on /proc/PID/cgroup names the
# old cgroup, whose cgroup.procs lists it though its cgroup.events says "populated 0"; the new one's
# cgroup.procs reads empty though it is "populated 1", and its rmdir fails with EBUSY. Where the
# process runs stands in /proc/PID/task/TID/cgroup alone.
#
# One would have guessed that a process of a non-threaded hierarchy is in one cgroup, whole, and that "populated"
# says whether cgroup.procs lists anything.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cgroup
zombie_leader >"$work/leader.py"
mkfifo "$work/ready"
mkdir "$cg/old" "$cg/new"
(echo $BASHPID >"$cg/old/cgroup.procs" && exec python3 "$work/leader.py" >"$work/ready") &
leader=$!
started+=("$leader")
read -r _ <"$work/ready"
for task in /proc/"$leader"/task/*; do worker=${task##*/}; done # the last is not the main thread
where() { sed -n 's/^0::.*\///p' "$1"; }
populated() { sed -n 's/^populated //p' "$cg/$1/cgroup.events"; }

claim "populated before: old, new" "1 0" "$(populated old) $(populated new)"
echo "$leader" >"$cg/new/cgroup.procs"
claim "the process, and its working thread, are in" "old new" \
	"$(where "/proc/$leader/cgroup") $(where "/proc/$leader/task/$worker/cgroup")"
claim "populated after: old, new" "0 1" "$(populated old) $(populated new)"
claim "lines of cgroup.procs: old, new" "1 0" "$(wc -l <"$cg/old/cgroup.procs") $(wc -l <"$cg/new/cgroup.procs")"
removed=$({ rmdir "$cg/new" || true; } 2>&1 | sed 's/.*: //')
claim "rmdir of the new one" "Device or resource busy" "$removed"
