#!/bin/sh
# Gets the tests of the podman and the buildah that a suite has, and builds the programs
# that buildah's call, into build/upstream/SUITE. They come as Go modules: from the proxy,
# and held to the checksum database.
#
#   get.sh SUITE
set -eu

suite=$1
out=$PWD/build/upstream/$suite
[ ! -e "$out" ] || exit 0

# module NAME: where the module is of the version that the suite has, without what Debian adds.
module() {
	version=$(build/testmachine versions --suite "$suite" | sed -n "s/^$1 \([0-9.]*\).*/\1/p")
	path=github.com/containers/$1
	[ "$1" = buildah ] || path=$path/v${version%%.*}
	go mod download -json "$path@v$version" | sed -n 's/.*"Dir": "\(.*\)",*$/\1/p'
}

# copy FROM TO: a module has neither modes nor symbolic links.
copy() {
	mkdir -p "$(dirname "$2")"
	cp -r --no-preserve=mode "$1" "$2"
	grep -rlI '^#!' "$2" | xargs chmod +x
}

rm -rf "$out.new"
podman=$(module podman)
buildah=$(module buildah)
mkdir -p "$out.new"
echo 'module upstream' >"$out.new/go.mod" # else ./... would be these, too
copy "$podman/test/system" "$out.new/podman/test/system"
copy "$buildah/tests" "$out.new/buildah/tests"
ln -s tarball.tar "$out.new/buildah/tests/bud/symlink/tarball_latest.tar"
ln -s tarball.tar.gz "$out.new/buildah/tests/bud/symlink/tarball_latest.tar.gz"
(cd "$buildah" && for program in copy imgtype inet serve tutorial; do
	[ ! -d "tests/$program" ] || CGO_ENABLED=0 go build -mod=readonly -trimpath -o "$out.new/buildah/bin/" \
		-tags containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper "./tests/$program"
done)
mv "$out.new" "$out"
