#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, buildah 1.39.3+ds1-1+b7
#
# `podman rmi -f` of the image that a build began from, while a RUN step of the build runs, succeeds and removes the build's
# working container from storage. The step is not ended and nothing is said: it runs to its end, and then the build fails,
# "container not known". `podman rm -af`, in the same moment, leaves the build alone, and `podman rmi` without -f refuses.
#
# One would have guessed that an image of which a running process has its root is in use, or that the force which is enough for
# it ends what runs, as it does for a container of `podman run`. Who tidies up images by a timer fails builds hours later.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
seen=$(insh 'mkdir go
	printf "FROM base\nRUN %s\n" "[\"/bin/sh\", \"-c\", \"until [ -e /go/on ]; do sleep 0.1; done\", \"7777\"]" >waits
	for command in "podman rm -af" "podman rmi base" "podman rmi -f base"; do
		rm -f go/on
		podman build --network host --no-cache -v /root/c/go:/go -f waits . >log 2>&1 &
		build=$!
		arrived
		$command >/dev/null 2>&1
		echo $? $(podman ps -aq --external | wc -l) $(left | wc -l)
		touch go/on
		wait $build
		echo $? $(grep -o "container not known" log)
	done')
{ read -r rm; read -r rm_build; read -r rmi; read -r rmi_build; read -r force; read -r force_build; } <<<"$seen"
claim "podman rm -af: status, working containers, processes of the step" "0 1 1" "$rm"
claim "the build" 0 "$rm_build"
claim "podman rmi: the same" "2 1 1" "$rmi"
claim "the build" 0 "$rmi_build"
claim "podman rmi -f: the same" "0 0 1" "$force"
claim "the build" "125 container not known" "$force_build"
