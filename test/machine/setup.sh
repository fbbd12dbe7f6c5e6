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
mkdir -p /var/lib/systemd/linger
: >/var/lib/systemd/linger/builder

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

# Tests build FROM scratch, with a shell of each architecture: no registry. An
# architecture at a time, so that a mirror that is out of step with one of them
# does not hide the others; what apt can't verify is not used.
fixtures=/usr/share/buildwatch-test
mkdir -p /tmp/debs
cd /tmp/debs
fixture() {
	dpkg --print-architecture | grep -qx "$1" || dpkg --add-architecture "$1"
	apt-get -q update &&
		apt-get -q -o APT::Sandbox::User=root download "busybox-static:$1" || return 1
	dpkg-deb -x busybox-static_*_"$1".deb "unpacked-$1" || return 1
	# bookworm has it in /bin, trixie in /usr/bin.
	install -D "$(find "unpacked-$1" -type f -path '*bin/busybox')" "$fixtures/$1/busybox"
}
for arch in amd64 arm64; do
	fixture "$arch"
done
# A second foreign architecture is good to have, but no reason to have no machine.
fixture s390x || dpkg --remove-architecture s390x
cd /
rm -rf /tmp/debs /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
