#!/bin/bash
# github.com/goreleaser/nfpm/v2 v2.45.2, the command
#
# A version with a hyphen makes a package that is older than the one without: `version: 1.2.3-1`, Debian's own way to write a
# package's revision, is 1.2.3~1, which apt and dnf put before 1.2.3. So is what `git describe` says of the fourth
# commit after the release: 1.2.3-4-gabcdef1 becomes 1.2.3~4-gabcdef1, and is not taken for an upgrade. `1.2` becomes 1.2.0,
# and 2026.01.02 becomes 2026.1.2. Nothing is said.
#
# One would have guessed that a package has the version that its file says, or that what can't be is refused. `version_schema: none`
# leaves the version as it is.
#
# Why: it is read as a semantic version, of which all after the hyphen comes before the release.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
need dpkg-deb dpkg
gomod
version=v2.45.2
GOBIN="$work" go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@$version" >"$work/log" 2>&1 || unseen "$(tail -1 "$work/log")"
say "with nfpm $version"
made() { # made VERSION [LINE]: the version of the package
	printf 'name: tool\narch: amd64\nmaintainer: A <a@example.org>\ndescription: a tool\nversion: "%s"\n%s\n' "$1" "${2:-}" >nfpm.yaml
	"$work/nfpm" package --packager deb --target "$work/tool.deb" >"$work/log" 2>&1 || cat "$work/log"
	dpkg-deb -f "$work/tool.deb" Version
}
claim "1.2, 2026.01.02" "1.2.0 2026.1.2" "$(made 1.2) $(made 2026.01.02)"
release=$(made 1.2.3)
for written in 1.2.3-1 1.2.3-4-gabcdef1; do
	seen=$(made $written)
	claim "$written" "${written/-/\~}" "$seen"
	claim "it is older than the release" yes "$(dpkg --compare-versions "$seen" lt "$release" && echo yes || echo no)"
done
claim "with version_schema: none" "1.2.3-1" "$(made 1.2.3-1 'version_schema: none')"
