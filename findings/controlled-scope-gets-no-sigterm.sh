#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1
#
# A scope that was made with the property Controller (the bus name of who looks after it) is stopped without SIGTERM: its
# processes go on as if nothing were, until TimeoutStopSec= is over (90 s by default), and then get SIGKILL; the scope is "failed"
# with result "timeout". It is the same when nobody has that name on the bus any more, or ever had. Only the controller
# is told, by the signal RequestStop.
#
# One would have guessed that the controller is told as well, as the word "request" in a note to somebody suggests, or that
# systemd does it by itself where nobody is there to do it: every other unit's stop begins with KillSignal=.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
# try COUNT [PROPERTY]: what the process got when the scope was stopped, SIGKILL after how many seconds at least, and what
# became of the scope.
try() {
	insh 'rm -f /run/term /run/there
		sh -c "trap \"touch /run/term; exit\" TERM; touch /run/there; while :; do sleep 0.1; done" &
		until [ -e /run/there ]; do sleep 0.1; done
		busctl -q call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
			StartTransientUnit "ssa(sv)a(sa(sv))" a.scope fail '"$1"' PIDs au 1 $! TimeoutStopUSec t 3000000 '"${2-}"' 0
		until systemctl -q is-active a.scope; do sleep 0.1; done
		from=$(date +%s%N)
		systemctl stop a.scope
		got=SIGTERM
		if [ ! -e /run/term ]; then
			got=SIGKILL
			[ $(($(date +%s%N) - from)) -lt 2900000000 ] || got="SIGKILL after 3 s"
		fi
		echo $got, $(systemctl show -P Result a.scope) $(systemctl show -P ActiveState a.scope)
		systemctl reset-failed 2>/dev/null'
}
claim "without a controller" "SIGTERM, success inactive" "$(try 2)"
claim "with one that is not on the bus" "SIGKILL after 3 s, timeout failed" "$(try 3 'Controller s :1.9999')"
