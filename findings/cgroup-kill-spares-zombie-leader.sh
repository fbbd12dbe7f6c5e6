#!/bin/bash
# Linux 6.18
#
# 1 in cgroup.kill does not end a process whose main thread has exited while other threads work on. The
# write succeeds, every other process of the cgroup dies, and this one stays, "populated 1". Such a
# process has state Z, empty cmdline, environ and exe, and looks like a zombie that waits for its
# parent; what it runs is seen below /proc/PID/task only. kill(2) by PID ends it.
#
# One would have guessed that cgroup.kill is the sum of a SIGKILL to each member, and that a process
# in state Z does nothing any more.
#
# Why: the kernel sends the signal to the member's main thread as a thread; to one that is exiting it
# is not delivered, and the other threads of the group do not get it.
#
# Seen: cgroup.kill: state Z with 1 thread in S after 2 s, populated 1, the plain member beside it gone;
# then kill -9 PID: populated 0.
. "$(dirname "$0")/lib.bash"
need python3
stated_kernel 6.18
cgroup
zombie_leader >"$work/leader.py"
mkfifo "$work/ready"
(echo $BASHPID >"$cg/cgroup.procs" && exec python3 "$work/leader.py" >"$work/ready") &
leader=$!
started+=("$leader")
read -r _ <"$work/ready"
(echo $BASHPID >"$cg/cgroup.procs" && exec sleep 60) &
plain=$!
started+=("$plain")
until [ "$(wc -l <"$cg/cgroup.procs")" = 2 ] && [ "$(cat "/proc/$plain/comm")" = sleep ]; do sleep 0.01; done

state() { sed 's/.*) \(.\) .*/\1/' "/proc/$1/stat" 2>/dev/null || echo gone; }
threads() { # of a process that are not zombies
	local task n=0
	for task in /proc/"$1"/task/*; do
		[ -d "$task" ] && [ "$(sed 's/.*) \(.\) .*/\1/' "$task/stat")" != Z ] && n=$((n + 1))
	done
	echo $n
}
populated() { sed -n 's/^populated //p' "$cg/cgroup.events"; }

claim "state of the process, its threads that work, bytes of its cmdline" "Z 1 0" \
	"$(state "$leader") $(threads "$leader") $(wc -c <"/proc/$leader/cmdline")"
echo 1 >"$cg/cgroup.kill"
wait "$plain" 2>/dev/null || true
sleep 2
claim "two seconds after cgroup.kill: populated, threads that work" "1 1" "$(populated) $(threads "$leader")"
kill -9 "$leader"
wait "$leader" 2>/dev/null || true
claim "after kill -9 by PID: populated" 0 "$(populated)"
