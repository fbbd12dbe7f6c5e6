#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, buildah 1.39.3+ds1-1+b7, crun 1.21-1
#
# `build --jobs 2` of which one stage's RUN step fails exits, with that step's status, while the RUN step of
# the other stage goes on: its parent is PID 1, no process of the build is left, and its
# container and root file system are already removed from storage. Nothing was cancelled and no
# signal was sent: an ordinary compile error does this, in podman and in buildah.
#
# One would have guessed that a build which has failed and exited has ended its steps, as `make -j` waits for
# the jobs that still run, or that at least the exit of the parent ends them.
#
# Seen: as in the claims at the end; the step is in a crun-buildah-buildahN.scope (podman).
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
for tool in podman buildah; do
	seen=$(insh "printf 'FROM base AS a\nRUN exec sleep 7777\nFROM base AS b\nRUN sleep 3; exit 7\n%b' \
			'FROM base\nCOPY --from=a /bin/sh /a\nCOPY --from=b /bin/sh /b\n' >stages
		$tool build --network host --no-cache --jobs 2 -f stages . >log 2>&1; status=\$?
		sleep 3
		left | while read -r pid; do cut -d: -f3 /proc/\$pid/cgroup | tail -1 >&2; done
		echo \$status \$(left | wc -l) \$(sed -n 's/^PPid:.//p' /proc/\$(left)/status) \$(podman ps -aq --external | wc -l)
		kill -9 \$(left); sleep 1")
	claim "$tool: status; processes of the other step, their parent, working containers" "7 1 1 0" "$seen"
done
