#!/bin/sh
# Runs once inside a new root file system, as root, with the network and the
# apt configuration of the host. Part of the recipe: a change of this file
# makes a new root file system.
#
# RUNTIME: podman's default OCI runtime, or empty.
set -eu

# A machine has no CAP_SYS_RESOURCE where its host has none, and podman fails
# to raise limits then.
mkdir -p /etc/containers
{
	echo '[containers]'
	echo 'default_ulimits = ["nofile=1024:4096","nproc=4096:4096"]'
	if [ -n "$RUNTIME" ]; then
		printf '\n[engine]\nruntime = "%s"\n' "$RUNTIME"
	fi
} >/etc/containers/containers.conf

# debootstrap copies the host's name; a machine gets its own from nspawn.
rm -f /etc/hostname

# The user of rootless builds; lingering, so that its systemd runs from boot on.
useradd --create-home --shell /bin/bash --uid 1000 builder
grep -q '^builder:' /etc/subuid || echo 'builder:100000:65536' >>/etc/subuid
grep -q '^builder:' /etc/subgid || echo 'builder:100000:65536' >>/etc/subgid
# The user of a podman machine made on macOS: its UID is the host user's.
useradd --create-home --shell /bin/bash --uid 501 core
grep -q '^core:' /etc/subuid || echo 'core:200000:65536' >>/etc/subuid
grep -q '^core:' /etc/subgid || echo 'core:200000:65536' >>/etc/subgid
echo 'core ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/core
mkdir -p /var/lib/systemd/linger
: >/var/lib/systemd/linger/builder
: >/var/lib/systemd/linger/core
# Tests start what they need of these.
systemctl disable ssh.service podman.socket podman.service
systemctl --global disable podman.socket podman.service

# binfmt_misc is one for the whole host (it is the initial user namespace's):
# stopping this unit would unregister the handlers of the host as well.
ln -sf /dev/null /etc/systemd/system/systemd-binfmt.service
ln -sf /dev/null /etc/systemd/system/proc-sys-fs-binfmt_misc.automount
# Nothing in a throwaway machine has to happen at a time of day.
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do
	ln -sf /dev/null "/etc/systemd/system/$timer.timer"
done
# There is no console to log in at.
ln -sf /dev/null /etc/systemd/system/console-getty.service

# Tests build FROM scratch, with a static shell of each architecture: no registry.
# An architecture at a time, each with an index of its own, so that a mirror that
# is out of step with one of them does not hide the others; what apt can't verify
# is not used. A static program may come from another release.
fixtures=/usr/share/buildwatch-test
site=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list)
suite=$(awk '$1 == "deb" {print $3; exit}' /etc/apt/sources.list)
mkdir -p /tmp/debs
cd /tmp/debs
fixture() {
	echo "deb [arch=$1] $site $2 main" >one.list
	dpkg --print-architecture | grep -qx "$1" || dpkg --add-architecture "$1"
	set -- "$1" -q -o Dir::Etc::SourceList=/tmp/debs/one.list -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root
	arch=$1
	shift
	apt-get "$@" update && apt-get "$@" download "busybox-static:$arch" || return 1
	dpkg-deb -x busybox-static_*_"$arch".deb "unpacked-$arch" || return 1
	# bookworm has it in /bin, trixie in /usr/bin.
	install -D "$(find "unpacked-$arch" -type f -path '*bin/busybox')" "$fixtures/$arch/busybox"
}
fixture amd64 "$suite"
fixture arm64 "$suite"
fixture s390x "$suite" || fixture s390x bookworm || fixture s390x sid
cd /
rm -rf /tmp/debs /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
