#!/bin/bash
# Debian bookworm: podman 4.3.1+ds1-8+deb12u1+b3, runc 1.1.5+ds1-1+deb12u1
#
# `podman build -t NAME` that is ended by SIGTERM in the middle of a RUN step exits with 0. There is no image, and
# nothing was said. `podman build … && podman push …` in a job that is being cancelled goes on to the push.
#
# One would have guessed 143, as the shell has it for a program that SIGTERM ended, or any other status but
# that of a build which was made; podman 5.4.2 exits with 1.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${BOOKWORM[@]}"
boot
buildable
seen=$(insh 'podman --runtime runc build --network host --no-cache -t hang -f hang . >log 2>&1 & build=$!
	arrived || { cat log >&2; exit 1; }
	sleep 1
	kill -TERM $build
	wait $build; status=$?
	kill -9 $(left) 2>/dev/null
	podman image exists base; base=$?
	podman image exists localhost/hang; echo status $status base $base hang $?')
claim "status of the build; whether image base exists (0: yes), and hang (1: no)" "status 0 base 0 hang 1" "$seen"
