#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1
#
# A scope that is stopped while a process in it lives on (here by KillMode=none; else one that SIGKILL does not end at
# once) is "inactive", and systemd forgets it when it reads in cgroup.events that its cgroup has become empty. If somebody
# removes that empty cgroup before systemd has read so, the unit stays loaded, "inactive (dead)", for good: systemd
# wakes up, finds no file to read, and does not look again. Another `systemctl stop` of it, which has nothing to
# stop, lets it go.
#
# One would have guessed that an empty cgroup of a stopped unit may be removed by whoever comes first, and that a transient
# unit which is inactive, with nothing below it, goes away by itself. A program that tidies up cgroups behind systemd leaves
# one unit more in PID 1 each time that it is faster.
#
# Seen: as in the claims at the end. PID 1 is frozen for a moment, to be slower for certain.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
# try COMMAND: what `systemctl list-units` says of the scope 5 s after its cgroup has become empty, and after another stop.
try() {
	# shellcheck disable=SC2016 # it is for the shell inside
	insh '
		cg=/sys/fs/cgroup
		systemd-run -q --scope -u findings -p KillMode=none -p CollectMode=inactive-or-failed sleep 1000 >/dev/null 2>&1 &
		until [ "$(systemctl show -P ActiveState findings.scope)" = active ]; do sleep 0.1; done
		own=$cg/system.slice/findings.scope
		sleep 0.5
		process=$(cat $own/cgroup.procs)
		systemctl stop findings.scope 2>/dev/null
		echo 1 >$cg/init.scope/cgroup.freeze
		until grep -q "frozen 1" $cg/init.scope/cgroup.events; do sleep 0.1; done
		kill $process
		until grep -q "populated 0" $own/cgroup.events; do sleep 0.1; done
		'"$1"'
		echo 0 >$cg/init.scope/cgroup.freeze
		sleep 5
		state() { systemctl list-units --all --plain --no-legend findings.scope | awk "{print \$2, \$3, \$4; n++} END {if (!n) print \"gone\"}"; }
		echo "$(state), $(systemctl stop findings.scope 2>/dev/null; sleep 1; state)"'
}
claim "nobody removes the cgroup" "gone, gone" "$(try :)"
claim "somebody removes the cgroup" "loaded inactive dead, gone" "$(try 'rmdir $own')"
