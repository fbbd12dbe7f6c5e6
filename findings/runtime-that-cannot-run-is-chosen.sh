#!/bin/bash
# Debian trixie: podman 5.4.2+ds1-2+b2, buildah 1.39.3+ds1-1+b7
#
# A row of [engine.runtimes] in containers.conf lists paths of which the first that is there is used. "There" is
# a regular file: one that is not executable is chosen all the same, and then every container fails with
# "permission denied", though the next path of the row would work. A path that does not exist is passed
# over, and so is a directory.
#
# One would have guessed the rule of $PATH, where exec goes on to the next entry after EACCES: a list of
# fallbacks that falls back for one reason and not for the other.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
root "${TRIXIE[@]}"
boot
buildable
insh 'mkdir -p /opt/directory /etc/containers/containers.conf.d; : >/opt/plain
	printf "FROM base\nRUN exit 0\n" >step'
row() { # row PATH: what a build makes of that path before the real one
	insh "printf '[engine.runtimes]\ncrun = [\"$1\", \"/usr/bin/crun\"]\n' >/etc/containers/containers.conf.d/row.conf
		for tool in podman buildah; do
			if \$tool build -q --network host --no-cache -f step . >log 2>&1; then echo works; else
				grep -o 'permission denied' log | head -1; fi
		done" | paste -sd ,
}
claim "a path that does not exist: podman, buildah" "works,works" "$(row /opt/missing)"
claim "a directory" "works,works" "$(row /opt/directory)"
claim "a file that is not executable" "permission denied,permission denied" "$(row /opt/plain)"
