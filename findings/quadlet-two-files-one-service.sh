#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2 (Quadlet)
#
# app.container and app.kube are both app.service: Quadlet writes the one over the other, exits with 0 and says nothing, and only
# the .kube file's service is there. db.volume and db-volume.container are both db-volume.service: the container's remains,
# and runs as the oneshot service of the volume that other files wait for.
#
# One would have guessed a complaint about the second, as it makes about an unknown key, or names in which the kind of the
# source can't be lost.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
mkdir -p "$work/run"
: >"$work/run/containers.conf"
generated() { # generated FILE...: the services that are made of these, each with its source, after what was said
	rm -rf "$work"/run/{units,out}
	mkdir "$work"/run/{units,out}
	local file status=0
	for file; do
		case $file in
		*.container) printf '[Container]\nImage=localhost/image\n' ;;
		*.kube) printf '[Kube]\nYaml=/etc/app.yaml\n' ;;
		*.volume) printf '[Volume]\n' ;;
		esac >"$work/run/units/$file"
	done
	(within env QUADLET_UNIT_DIRS=/run/units /usr/libexec/podman/quadlet -no-kmsg-log /run/out) >"$work/said" 2>&1 || status=$?
	cat "$work/said"
	echo "$status: $(cd "$work/run/out" && grep -Ho 'SourcePath=/run/units/.*' -- *.service | sed 's/SourcePath=.*units.//' | paste -sd " ")"
}
claim "app.container" "0: app.service:app.container" "$(generated app.container)"
claim "app.container and app.kube" "0: app.service:app.kube" "$(generated app.container app.kube)"
claim "db.volume and db-volume.container" "0: db-volume.service:db-volume.container" "$(generated db.volume db-volume.container)"
