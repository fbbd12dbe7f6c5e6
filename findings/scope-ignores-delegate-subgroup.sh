#!/bin/bash
# Debian trixie: systemd 257.13-1~deb13u1
#
# DelegateSubgroup= of a transient scope is accepted, without a warning, and shown by `systemctl show`; no
# subgroup is made and the processes stay in the scope's own cgroup. For a service the same property works.
# Whoever then enables controllers below the scope gets EBUSY, since its cgroup holds processes.
#
# One would have guessed an error, as for every property that a unit type does not know (StartTransientUnit
# refuses those: "unknown property"), or that it works, as systemd shows it as set.
#
# Why: it is used when systemd itself starts a process, which it does not for a scope.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
of='cut -d: -f3 /proc/self/cgroup | tail -1 | sed "s/.*\(service\|scope\)/-/"'
seen=$(insh "systemd-run -q --pipe --wait -u findings -p Delegate=yes -p DelegateSubgroup=sub sh -c '$of'")
claim "service: its process is in the subgroup" "-/sub" "$seen"
seen=$(insh "systemd-run -q --scope -u findings -p Delegate=yes -p DelegateSubgroup=sub sh -c '
	systemctl show -P DelegateSubgroup findings.scope; ls -d /sys/fs/cgroup/system.slice/findings.scope/*/ 2>/dev/null | wc -l; $of'")
claim "scope: the property, cgroups below it, subgroup of its process" "sub 0 -" "$(echo "$seen" | paste -sd " ")"
