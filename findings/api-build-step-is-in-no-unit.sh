#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, crun 1.21-1, systemd 257.13-1~deb13u1
#
# The RUN step of a build that root's API service makes (`podman --remote build`, Docker clients, Podman Desktop) is
# in a cgroup at the top of the hierarchy, /buildah-buildahN: in no unit, in no slice, under none
# of the service's limits. `systemctl status` of the service does not list it, and SIGKILL to every process
# of the service's unit leaves it running. `podman info` says cgroup manager "systemd", and the same build without --remote is in
# system.slice/crun-buildah-buildahN.scope.
#
# One would have guessed that a service's children are in its unit, or that podman's setting cgroup_manager
# holds for whatever podman runs.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
seen=$(insh 'podman info --format "{{.Host.CgroupManager}}"
	systemd-run -q -u api podman system service -t 0 unix:///run/api.sock
	until [ -S /run/api.sock ]; do sleep 0.1; done
	for remote in "" "--url unix:///run/api.sock"; do
		podman $remote build --network host --no-cache -f hang . >/dev/null 2>&1 &
		arrived
		cut -d: -f3 "/proc/$(left)/cgroup" | tail -1 | sed "s/[0-9][0-9]*/N/"
		[ -z "$remote" ] || systemctl kill -s KILL api
		sleep 1
		left | wc -l
		kill -9 $(left) 2>/dev/null
		wait
	done')
{ read -r manager; read -r local_step; read -r _; read -r api_step; read -r after; } <<<"$seen"
claim "podman info, cgroup manager" systemd "$manager"
claim "cgroup of a local build's step" /system.slice/crun-buildah-buildahN.scope/container "$local_step"
claim "cgroup of an API build's step" /buildah-buildahN "$api_step"
claim "its processes a second after SIGKILL to the whole unit" 1 "$after"
