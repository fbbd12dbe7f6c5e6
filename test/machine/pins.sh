#!/bin/sh
# Runs once inside a new root file system of a suite whose packages change from
# week to week, after setup.sh and as it does.
#
# PINS: lines of "package version path-below-the-mirror SHA256", the versions that
# the tests are known to pass with. Those that the mirror still holds are
# installed; moved then names those that differ. pins is the same list of what is
# there now.
set -eu

out=/usr/share/buildwatch-test
site=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list)
# What the tests are about: by source, since packages of one source ask for each
# other's very version.
sources='systemd podman golang-github-containers-buildah golang-github-containers-common
conmon crun runc netavark aardvark-dns passt slirp4netns fuse-overlayfs catatonit qemu'

installed() { dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo none; }
each_pin() { echo "$PINS" | grep -v -e '^#' -e '^$' || true; }

mkdir -p /tmp/pins
cd /tmp/pins
apt-get -q -o APT::Sandbox::User=root update
each_pin | while read -r package version path sum; do
	[ "$(installed "$package")" != "$version" ] || continue
	/usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file "$site/$path" "$package.deb" "SHA256:$sum" ||
		rm -f "$package.deb"
done
if ls ./*.deb >/dev/null 2>&1; then
	apt-get -q -y -o APT::Sandbox::User=root --allow-downgrades install ./*.deb || echo 'pinned versions do not fit together'
fi

each_pin | while read -r package version _; do
	now=$(installed "$package")
	[ "$now" = "$version" ] || echo "$package is $now, not $version"
done >"$out/moved"

# shellcheck disable=SC2086 # a list
dpkg-query -W -f '${source:Package} ${Package}\n' | sort -u | while read -r source package; do
	echo $sources | tr ' ' '\n' | grep -qx "$source" || continue
	apt-get -q --print-uris download "$package=$(installed "$package")" 2>/dev/null |
		sed -n "s,^'$site/\([^']*\)' .* SHA256:\([0-9a-f]*\)\$,$package $(installed "$package") \1 \2,p"
done >"$out/pins"
cd /
rm -rf /tmp/pins /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
