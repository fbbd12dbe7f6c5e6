#!/bin/sh
# Installs buildwatch in a running podman machine, or upgrades it there. Run on
# the host, from a checkout after "make machine-binaries" or from a release:
#   install.sh [MACHINE]
# Builds in the machine go on. See README.md beside this file.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/common.sh"

say "Asking the machine \"$machine\" for its architecture"
kernel=$(on_machine 'uname -m' </dev/null | tr -d '\r')
case $kernel in
x86_64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
'') die "the machine does not answer" ;;
*) die "the machine's architecture is $kernel: there are programs for x86_64 and aarch64" ;;
esac
for program in buildwatchd buildwatchctl buildwatch-runtime buildwatch-keeper buildwatch-reclaim; do
	[ -f "$top/build/linux-$arch/$program" ] ||
		die "build/linux-$arch/$program is missing: run make machine-binaries first"
done

say "Copying the programs for $arch"
ship dist man "build/linux-$arch"
inside install
say "Done: buildwatchctl --machine=$machine list"
