#!/bin/sh
# Prints an Ansible playbook by which a podman machine has buildwatch from its first
# start on; needs podman 5.4 or later. Run on the host, where this release is to stay:
#   playbook.sh >buildwatch.yml
#   podman machine init --playbook buildwatch.yml
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)

for arch in amd64 arm64; do
	[ -f "$top/build/linux-$arch/buildwatchd" ] ||
		echo "$(basename "$0"): build/linux-$arch is missing: make machine-binaries makes it" >&2
done
case $top in
*[\'\|\&\\\{]*)
	echo "$(basename "$0"): move $top to a directory whose name has no special characters" >&2
	exit 1
	;;
esac
places="'$top'"
case $(uname -s) in
MINGW* | MSYS*) # /c/Users/… is what Git's shell calls it: to a machine of WSL, and of Hyper-V, it is
	drive=$(echo "$top" | cut -c 2)
	places="'/mnt$top', '/$(echo "$drive" | tr '[:lower:]' '[:upper:]')${top#/?}'"
	;;
esac
sed "s|@PLACES@|$places|" "$here/playbook.yml.in"
