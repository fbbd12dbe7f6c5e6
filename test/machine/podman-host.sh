#!/bin/sh
# Runs once inside a copy of a root file system that is to be the host of a podman
# machine, as root, with the network and the apt configuration of the host. Part of the
# recipe.
set -eu

apt-get -q -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends \
	gvproxy qemu-system-x86 qemu-utils virtiofsd openssh-client \
	dosfstools mtools syslinux syslinux-common e2fsprogs ansible-core

# podman gives the machine's core the UID of the host's user, and mounts the home of
# the host's user at the same path: as "core" it would hide the machine's own home.
useradd --no-create-home --shell /bin/bash --uid 1600 dev
echo 'dev:300000:65536' >>/etc/subuid
echo 'dev:300000:65536' >>/etc/subgid
: >/var/lib/systemd/linger/dev

# Debian's podman looks for virtiofsd in the directories of its helpers, and Debian's
# virtiofsd is in none of them. In the first of them is the program in front of qemu.
helpers=/usr/local/libexec/podman
mkdir -p $helpers
ln -s /usr/libexec/virtiofsd $helpers/virtiofsd
cat >$helpers/qemu-system-x86_64 <<'QEMU'
#!/bin/bash
# podman machine's command line, but for what only KVM has: -accel kvm -cpu host.
args=()
while [ $# -gt 0 ]; do
	case $1 in
	-accel)
		args+=(-accel tcg,thread=single)
		shift
		;;
	-cpu)
		args+=(-cpu max,la57=off,svm=off)
		shift
		;;
	*) args+=("$1") ;;
	esac
	shift
done
[ ! -e ~/console ] || args+=(-serial file:console.log)
exec /usr/bin/qemu-system-x86_64 "${args[@]}"
QEMU
chmod 0755 $helpers/qemu-system-x86_64
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
