#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1; compared with bookworm's, 252.39-1~deb12u2
#
# A stop of a frozen unit (`systemctl freeze`) fails at once, "Cannot perform operation on frozen unit", and so does that of
# a unit below a frozen slice, and of the slice. systemctl(1) of the same version says: "Unit is automatically thawed just
# before we execute a job against the unit, e.g. before the unit is stopped", and 252 does. SIGKILL by `systemctl kill` ends the
# frozen unit; SIGTERM by it succeeds, and waits for the thaw.
#
# One would have guessed what the manual says, or what the kernel does: that a frozen cgroup can always be ended.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
# shellcheck disable=SC2016
frozen='unit() { # unit NAME SLICE: a frozen scope, whose process notes SIGTERM
	systemd-run -q --scope --unit $1 --slice $2 -p TimeoutStopSec=60 sh -c "trap \"touch /run/$1.term; exit\" TERM
		touch /run/$1; while :; do sleep 0.1; done" >/dev/null 2>&1 &
	until [ -e /run/$1 ]; do sleep 0.1; done
	systemctl freeze $3
}
stop() { # stop UNIT SCOPE: status, what is said, the scope afterwards
	systemctl stop $1 2>/run/said
	echo $? $(grep -o "Cannot perform operation on frozen unit" /run/said) $(systemctl is-active $2)
}
unit a system.slice a.scope
stop a.scope a.scope
[ ! -e /run/a.term ] || echo SIGTERM
'
refused="1 Cannot perform operation on frozen unit active"
root "${TRIXIE[@]}"
boot
seen=$(insh "$frozen"'
	systemctl kill -s TERM a.scope
	sleep 1
	echo $? $(systemctl is-active a.scope)
	systemctl kill -s KILL a.scope
	for try in $(seq 100); do systemctl -q is-active a.scope || break; sleep 0.1; done
	systemctl is-active a.scope
	unit b below.slice below.slice
	stop b.scope b.scope
	stop below.slice b.scope')
{ read -r stop; read -r term; read -r kill; read -r below; read -r slice; } <<<"$seen"
claim "257: stop of a frozen scope" "$refused" "$stop"
claim "257: SIGTERM by systemctl kill" "0 active" "$term"
claim "257: SIGKILL by systemctl kill" inactive "$kill"
claim "257: stop of a scope in a frozen slice" "$refused" "$below"
claim "257: stop of the frozen slice" "$refused" "$slice"
root "${BOOKWORM[@]}"
boot
claim "252: stop of a frozen scope, and what its process got" "0 inactive, SIGTERM" "$(insh "$frozen" | paste -sd , | sed 's/,/, /g')"
