#!/bin/bash
# github.com/goreleaser/nfpm/v2 v2.45.2, the command; read by Debian's dpkg and rpm
#
# One list of `depends` serves both formats, and what is in the other's spelling is taken, without a word. `systemd (>= 252)`, as
# Debian writes it, is in an .rpm a dependency on systemd in any version: rpm shows it as it was written, and installs the package
# beside systemd 1. `buildah | podman` is one on buildah alone. `systemd >= 252`, rpm's spelling, makes a .deb that dpkg can't
# read, "syntax error after reference to package", with success.
#
# One would have guessed that the tool that writes several formats from one file translates what they have in common, a name
# with a version, or refuses what the format does not have. A look at the finished .rpm (`rpm -qp --requires`) finds all well.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need dpkg-deb rpm
gomod
version=v2.45.2
GOBIN="$work" go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@$version" >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
say "with nfpm $version"
make() { # make PACKAGER NAME [DEPENDENCY]: a package of version 1.0.0
	printf 'name: %s\narch: all\nmaintainer: A <a@example.org>\ndescription: a tool\nlicense: MIT\nversion: 1.0.0\n' "$2" >nfpm.yaml
	[ $# = 2 ] || printf 'depends: ["%s"]\n' "$3" >>nfpm.yaml
	"$work/nfpm" package --packager "$1" --target "$work/$2.$1" >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
}
depends() { # depends DEPENDENCY: as dpkg shows it
	make deb tool "$1"
	dpkg-deb -f "$work/tool.deb" Depends 2>&1 | tail -1 | sed "s/.*field, //" || true
}
requires() { # requires DEPENDENCY: as rpm shows it; can it be installed with a systemd and a podman 1.0.0?
	make rpm tool "$1"
	echo "$(rpm -qp --requires "$work/tool.rpm" 2>/dev/null)," \
		"$(rpm --dbpath "$work/db" -i --test "$work"/{tool,systemd,podman}.rpm >"$work/log" 2>&1 && echo yes || echo no)"
}
make rpm systemd
make rpm podman
claim "rpm: systemd >= 252" "systemd >= 252, no" "$(requires 'systemd >= 252')"
claim "rpm: systemd (>= 252)" "systemd (>= 252), yes" "$(requires 'systemd (>= 252)')"
claim "rpm: buildah | podman" "buildah | podman, no" "$(requires 'buildah | podman')"
claim "rpm: (buildah or podman)" "(buildah or podman), yes" "$(requires '(buildah or podman)')"
claim "deb: systemd (>= 252)" "systemd (>= 252)" "$(depends 'systemd (>= 252)')"
claim "deb: systemd >= 252" "syntax error after reference to package 'systemd'" "$(depends 'systemd >= 252')"
