#!/bin/bash
# Debian trixie: buildah 1.39.3+ds1-1+b7; podman build has the same code
#
# A build with --iidfile that fails, or is ended, leaves the file as it was: with the ID of the image that the last good build
# made. `buildah build --iidfile id .; buildah push "$(cat id)"` pushes an old image, with success, after a build that was
# cancelled. A file that was not there before is not there afterwards.
#
# One would have guessed that the file has the ID of this build's image, or that there is none, as with Docker, which
# removes it before it begins.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
mkdir -p "$work/run/context"
: >"$work/run/containers.conf"
: >"$work/run/context/file"
printf 'FROM scratch\nCOPY file /\n' >"$work/run/good"
printf 'FROM scratch\nCOPY missing /\n' >"$work/run/bad"
# shellcheck disable=SC2016
(within sh -c '
	build() {
		buildah build -q --iidfile /run/id -f "$1" /run/context 2>/run/log
		echo $? $(cat /run/id 2>/run/log)
	}
	buildah() { command buildah --root /var/tmp/s --runroot /var/tmp/r --storage-driver vfs "$@"; }
	build /run/bad
	build /run/good
	buildah images -q --no-trunc
	build /run/bad
') >"$work/seen"
{ read -r first; read -r good; read -r image; read -r last; } <"$work/seen"
claim "status and file of a build that fails, without a file" 125 "$first"
claim "of a good one" "0 $image" "$good"
claim "of one that fails after that" "125 $image" "$last"
