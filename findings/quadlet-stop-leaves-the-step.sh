#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2 (Quadlet), crun 1.21-1, systemd 257.13-1~deb13u1
#
# A .build unit of Quadlet's is a service with KillMode=control-group, whose process is `podman build`. `systemctl
# stop` of it while a RUN step runs leaves the step running, in a scope beside the service that nothing
# connects with it: no unit to stop is known to whoever wrote the .build file.
#
# One would have guessed that this is just what a unit is for, and that podman's own generator makes units
# whose stop ends whatever they have started.
#
# Seen: as in the claims at the end, in the first or second try (podman's exit and the end of the step race).
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
insh 'mkdir -p /etc/containers/systemd
	printf "[Build]\nImageTag=localhost/hang\nSetWorkingDirectory=/root/c\nFile=/root/c/hang\nNetwork=host\n" \
		>/etc/containers/systemd/hang.build
	systemctl daemon-reload'
for _ in 1 2 3 4 5; do
	seen=$(insh 'systemctl start --no-block hang-build.service
		arrived
		sleep 1
		echo $(systemctl show -P KillMode hang-build) $(cut -d: -f3 "/proc/$(left)/cgroup" | tail -1 | sed "s/[0-9][0-9]*/N/")
		systemctl stop hang-build.service
		sleep 2
		echo $(systemctl show -P ActiveState hang-build) $(left | wc -l)
		kill -9 $(left) 2>/dev/null
		systemctl reset-failed hang-build 2>/dev/null; sleep 1; podman rmi -f localhost/hang >/dev/null 2>&1' || true)
	{ read -r unit; read -r left; } <<<"$seen"
	say "after the stop: unit and processes of the step: $left"
	[ "${left##* }" = 0 ] || break
done
claim "KillMode, and where the step runs" \
	"control-group /system.slice/crun-buildah-buildahN.scope/container" "$unit"
claim "processes of the step after systemctl stop" 1 "${left##* }"
