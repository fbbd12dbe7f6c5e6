#!/bin/bash
# Linux 6.18
#
# cgroup.procs and cgroup.threads, read in a PID namespace, list each process that is not in that namespace as 0: a line
# "0" for each of them.
#
# One would have guessed that they are left out, as they are in /proc. 0 is a PID that every system call takes, and takes for
# somebody else: kill(0, SIGKILL) ends the reader's own process group, getpgid(0) and setpriority(0) are about
# the reader, and "0" written to another cgroup's cgroup.procs moves the writer there. So "move, or kill, all that is in
# this cgroup", run in a container that was given the host's hierarchy, is done to oneself.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need unshare
stated_kernel 6.18
cgroup
for _ in 1 2; do
	sleep 60 &
	started+=("$!")
	echo $! >"$cg/cgroup.procs"
done
cat >"$work/inside.sh" <<'SH'
cd "$1"
mkdir there
echo $$ >cgroup.procs # as PID 1 of its namespace
grep -cx 0 cgroup.procs
pid=$(sort -n cgroup.procs | head -1)
echo "$pid" >there/cgroup.procs
grep -cx 1 there/cgroup.procs
grep -cx 0 cgroup.procs
SH
unshare --pid --fork --mount-proc sh "$work/inside.sh" "$cg" >"$work/seen" 2>"$work/log" || unseen "be root: $(tail -1 "$work/log")"
{ read -r listed; read -r moved; read -r left; } <"$work/seen"
claim "how many zeros are listed beside the reader, with two processes of the host in the cgroup" 2 "$listed"
claim "what was listed first is moved: whether that was the reader, and how many zeros are left" "1 2" "$moved $left"
