#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1
#
# The main process of a service, moved into a scope of its own (StartTransientUnit with its PID, as anything
# that "adopts" processes does), stays the service's MainPID; the service stays active with an empty
# cgroup. `systemctl stop` of the service then kills that process in the other unit's
# cgroup, and the other unit ends. `systemctl status PID` names the scope, not the service.
#
# One would have guessed that a unit is its cgroup, as KillMode=control-group suggests: a process that has
# left is not the unit's any more, and a service without a process ends.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
seen=$(insh '
	systemd-run -q -u findings -p Type=exec sleep 600
	pid=$(systemctl show -P MainPID findings.service)
	busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StartTransientUnit \
		"ssa(sv)a(sa(sv))" other.scope fail 1 PIDs au 1 "$pid" 0 >/dev/null
	until grep -q other.scope /proc/$pid/cgroup; do sleep 0.1; done
	sleep 1
	echo "$(systemctl is-active findings.service other.scope | paste -sd " ") main $([ "$(systemctl show -P MainPID findings.service)" = "$pid" ] && echo same)"
	systemctl stop findings.service
	sleep 1
	echo "$(systemctl is-active findings.service other.scope | paste -sd " ") process $([ -e /proc/$pid ] && echo there || echo gone)"
' || true)
{ read -r moved; read -r stopped; } <<<"$seen"
claim "service, scope, after the move" "active active main same" "$moved"
claim "service, scope, after a stop of the service" "inactive inactive process gone" "$stopped"
