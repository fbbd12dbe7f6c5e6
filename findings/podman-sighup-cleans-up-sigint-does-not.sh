#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, crun 1.21-1
#
# `podman build` that gets SIGHUP ends its RUN step, removes its working containers and exits 1. By SIGINT, what
# Ctrl+C sends, it exits with 1 as well and most times leaves the step running, a working container
# in storage and a bundle in /var/tmp.
#
# One would have guessed that Ctrl+C is the signal that is handled with care, and SIGHUP, if not ignored, the
# one that ends a program where it stands.
#
# Why: podman's own handler of SIGINT and SIGTERM exits at once, in a race with buildah's, which passes signals on
# to the step; SIGHUP only the latter hears.
#
# Seen: SIGHUP 3 of 3 without a trace; SIGINT left all three in the first or second try.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
try() { # try SIGNAL: status, processes of the step, working containers, bundles
	insh "podman build --network host --no-cache -f hang . >/dev/null 2>&1 & build=\$!
		arrived
		sleep 1
		kill -$1 \$build
		wait \$build; status=\$?
		sleep 2
		echo \$status \$(left | wc -l) \$(podman ps -aq --external | wc -l) \$(ls -d /var/tmp/buildah[0-9]* 2>/dev/null | wc -l)
		kill -9 \$(left) 2>/dev/null; sleep 1
		for id in \$(podman ps -aq --external); do podman rm -f \$id; done >/dev/null 2>&1
		rm -rf /var/tmp/buildah[0-9]*"
}
for _ in 1 2 3; do
	seen=$(try HUP)
	claim "SIGHUP: status, processes, containers, bundles left" "1 0 0 0" "$seen"
done
for _ in 1 2 3 4 5 6 7 8; do
	seen=$(try INT)
	say "SIGINT: $seen"
	[ "$seen" != "1 1 1 1" ] || break
done
claim "SIGINT, in one of up to 8 tries" "1 1 1 1" "$seen"
