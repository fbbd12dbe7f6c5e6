#!/bin/bash
# Linux 6.18
#
# The start time in /proc/PID/stat (field 22) is given in the time namespace of whoever reads it: of one process two readers read
# two numbers. In a time namespace whose boot was 1,000,000 seconds earlier it is 100,000,000 ticks more. /proc/uptime, and btime in
# /proc/stat, are moved with it, so that ps shows the same point of time.
#
# One would have guessed that a PID and its start time, which together are the name of a process for everybody who writes it down
# or passes it on (polkit, lock files, process managers), are the same for all who see the same /proc.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need python3 unshare
stated_kernel 6.18
unshare --time true 2>"$work/log" || unseen "$(tail -1 "$work/log")"
sleep 1000 &
started+=($!)
cat >"$work/look.py" <<'PY'
import os, sys

started = int(open("/proc/%s/stat" % sys.argv[1]).read().rsplit(")", 1)[1].split()[19])
uptime = float(open("/proc/uptime").read().split()[0])
print(started, round(uptime - started / os.sysconf("SC_CLK_TCK")))
PY
outside=$(python3 "$work/look.py" $!)
inside=$(unshare --time --boottime 1000000 --fork python3 "$work/look.py" $!)
claim "start time, in ticks, that is more in the other namespace" $((1000000 * $(getconf CLK_TCK))) $((${inside% *} - ${outside% *}))
claim "age of the process, by /proc/uptime, in minutes" "0 0" "$((${outside#* } / 60)) $((${inside#* } / 60))"
