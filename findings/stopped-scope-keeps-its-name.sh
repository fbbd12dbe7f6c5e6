#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1
#
# A transient scope whose processes ignored SIGTERM, so that `systemctl stop` came to SIGKILL, is "failed"
# with result "timeout" afterwards and keeps its name: no scope of that name can be started, nor with
# job mode "replace", until `systemctl reset-failed`. `systemctl stop` itself exits with 0. A
# scope whose processes end by SIGTERM frees its name at once.
#
# One would have guessed that a transient unit without a process is gone, since nothing can start it again,
# and that a stop which succeeded is no failure. A program that makes a scope by a fixed name for
# each job works until one job does not listen to SIGTERM.
#
# Seen: as in the claims at the end; the second start: "Unit … was already loaded or has a fragment file".
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
# try TRAP [replace]: a scope whose process has that trap is stopped; then its name is used again.
try() {
	insh "systemd-run -q --scope -u findings -p TimeoutStopSec=2 sh -c '$1; : >/run/up; while :; do sleep 1; done' >/dev/null 2>&1 &
		until [ -e /run/up ]; do sleep 0.1; done; rm /run/up
		systemctl stop findings.scope; echo stop \$?
		systemctl show -P ActiveState -P Result findings.scope
		systemd-run -q --scope -u findings true 2>/dev/null; echo again \$?
		[ '$2' = '' ] || { busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \
			StartTransientUnit 'ssa(sv)a(sa(sv))' findings.scope replace 1 PIDs au 1 \$\$ 0 >/dev/null 2>&1; echo $2 \$?; }
		systemctl reset-failed findings.scope 2>/dev/null
		until systemd-run -q --scope -u findings true 2>/dev/null; do sleep 0.1; done; echo cleared" | paste -sd ' '
}
stubborn=$(try 'trap "" TERM HUP' replace)
claim "stopped by SIGKILL" "stop 0 timeout failed again 1 replace 1 cleared" "$stubborn"
willing=$(try : '')
claim "stopped by SIGTERM" "stop 0 success inactive again 0 cleared" "$willing"
