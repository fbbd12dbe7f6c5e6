#!/bin/sh
# Makes build/packages/buildwatch_*_ARCH.deb and buildwatch-*.ARCH.rpm of what is in
# build/linux-ARCH. make packages calls it, with VERSION, NFPM (the command that is nfpm)
# and GO, once for each architecture:
#   build.sh ARCH
# The same commit gives the same bytes: all times are the commit's.
set -eu
umask 022

arch=$1
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top"
built=$top/build/linux-$arch
out=$top/build/packages
root=$out/$arch
doc=$root/usr/share/doc/buildwatch
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
date=$(date --utc --date="@$SOURCE_DATE_EPOCH" +'%a, %d %b %Y %H:%M:%S +0000')
maintainer='The buildwatch authors <buildwatch@users.noreply.github.com>'

# What git describe says of a commit after a release is later than that, and has no
# hyphens: they mean something else in both kinds of package.
version=$(printf '%s\n' "${VERSION:?}" | sed -E 's/^([0-9.]+)-([0-9]+)-g/\1+\2.g/; s/-dirty$/+dirty/; s/-/~/; s/-/./g')

# licenses prints the licence of Go and of each library that is in the programs.
licenses() {
	printf 'Go, LICENSE:\n\n'
	cat "$($GO env GOROOT)/LICENSE"
	printf '\n\n'
	$GO version -m "$built"/buildwatch* | awk '$1 == "dep" {print $2 "@" $3}' | sort -u | while read -r module; do
		$GO mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p' | while read -r dir; do
			for file in "$dir"/LICENSE* "$dir"/LICENCE* "$dir"/COPYING* "$dir"/NOTICE*; do
				[ -f "$file" ] || continue
				printf '%s, %s:\n\n' "$module" "$(basename "$file")"
				cat "$file"
				printf '\n\n'
			done
		done
	done
}

rm -rf "$root"
BUILT=$built CTL=$top/build/buildwatchctl DESTDIR=$root PREFIX=/usr CONF_D='' sh dist/install.sh
gzip -9n "$root"/usr/share/man/man*/*
install -d "$doc" "$root/usr/lib/systemd/system-preset"
install -m 0644 dist/systemd/80-buildwatch.preset "$root/usr/lib/systemd/system-preset"
sed "s|@MAINTAINER@|$maintainer|" "$here/copyright" >"$doc/copyright"
licenses >"$doc/libraries.licenses"
cp -R dist/prometheus "$root/usr/share/buildwatch"
rm -rf "$root/usr/share/buildwatch/prometheus/tests"
gzip -9nc CHANGELOG.md >"$doc/changelog.gz"
install -d "$root/deb/usr/share/doc/buildwatch" "$root/deb/usr/share/lintian/overrides" "$root/rpm/usr/share/licenses/buildwatch"
printf 'buildwatch (%s) unstable; urgency=medium\n\n  * See changelog.gz beside this file.\n\n -- %s  %s\n' \
	"$version-1" "$maintainer" "$date" | gzip -9n >"$root/deb/usr/share/doc/buildwatch/changelog.Debian.gz"
mv "$doc/copyright" "$root/deb/usr/share/doc/buildwatch"
install -m 0644 "$here/deb/lintian-overrides" "$root/deb/usr/share/lintian/overrides/buildwatch"
install -m 0644 LICENSE "$root/rpm/usr/share/licenses/buildwatch"

for kind in deb rpm; do
	ARCH=$arch VERSION=$version ROOT=$root MAINTAINER=$maintainer SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH \
		$NFPM package --config dist/packages/nfpm.yaml --packager "$kind" --target "$out"
done
rm -rf "$root"
