#!/bin/sh
# Runs once inside a copy of a root file system that is to become a VM's image, as root,
# with the network and the apt configuration of the host. Part of the recipe.
#
# KERNEL: the suite that the kernel comes from, or empty for the root's own.
set -eu

mount -t proc proc /proc # for update-initramfs
site=$(awk '$1 == "deb" {print $2; exit}' /etc/apt/sources.list)
if [ -n "$KERNEL" ]; then
	echo "deb [arch=amd64] $site $KERNEL main" >/etc/apt/sources.list.d/kernel.list
fi
apt-get -q -o APT::Sandbox::User=root update
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends ${KERNEL:+-t "$KERNEL"} \
	linux-image-cloud-amd64 initramfs-tools zstd apparmor udev
ln -f /boot/vmlinuz-* /boot/vmlinuz
ln -f /boot/initrd.img-* /boot/initrd

# Of AppArmor's profiles those of what builds run: an emulated core compiles all of them for half a minute.
find /etc/apparmor.d -maxdepth 1 -type f ! -name buildah ! -name 'crun' ! -name 'runc' ! -name 'podman' \
	! -name slirp4netns ! -name 'usr.bin.pas*' ! -name unix-chkpwd ! -name unprivileged_userns -delete

# A machine of its own has a table of its own: see setup.sh.
rm -f /etc/systemd/system/systemd-binfmt.service /etc/systemd/system/proc-sys-fs-binfmt_misc.automount
echo '/dev/vda / ext4 rw 0 0' >/etc/fstab
cat >/etc/systemd/system/vm-network.service <<'UNIT'
[Unit]
DefaultDependencies=no
After=systemd-udevd.service
Before=network.target ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2; echo nameserver 10.0.2.3 >/etc/resolv.conf'
[Install]
WantedBy=multi-user.target
UNIT
systemctl enable ssh.service vm-network.service
umount /proc
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
