#!/bin/sh
# Makes build/release/ of what make packages and make cross have made: the packages, a
# tarball for each system, a list of what is in each program (CycloneDX), and checksums.
# make release calls it, with VERSION and SBOM, the command that is cyclonedx-gomod. The
# same commit gives the same bytes.
set -eu
umask 022

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top"
out=$top/build/release
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}

# tarball NAME PATH...: the paths, and what every tarball has, in one directory.
tarball() {
	dir=$out/$1
	shift
	mkdir -p "$dir"
	tar -cf - --exclude='*_test.go' LICENSE ./*.md docs dist findings man "$@" | tar -xf - -C "$dir"
}

# packed NAME
packed() {
	tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$out" -cf - "$1" |
		gzip -9n >"$out/$1.tar.gz"
	rm -rf "${out:?}/$1"
}

rm -rf "$out"
mkdir -p "$out"
cp build/packages/*.deb build/packages/*.rpm "$out"

for arch in amd64 arm64; do
	name=buildwatch-${VERSION:?}-linux-$arch
	tarball "$name" "build/linux-$arch"
	for program in "build/linux-$arch"/*; do # where install.sh of a host looks, and that of a podman machine
		ln -s "linux-$arch/${program##*/}" "$out/$name/build"
	done
	packed "$name"
done
# buildwatchctl itself, and what it takes to install buildwatch into a podman machine.
for system in darwin-arm64 windows-amd64; do
	name=buildwatch-$VERSION-$system
	tarball "$name" "build/$system" build/linux-amd64 build/linux-arm64
	mv "$out/$name/build/$system"/* "$out/$name"
	rmdir "$out/$name/build/$system"
	packed "$name"
done

for program in build/linux-amd64/*; do
	$SBOM bin -json -noserial -notimestamp -version "$VERSION" -output "$out/$(basename "$program")-$VERSION.cdx.json" "$program"
done
cd "$out"
sha256sum -- * >SHA256SUMS
