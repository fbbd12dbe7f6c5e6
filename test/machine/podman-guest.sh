#!/bin/sh
# Runs once inside a copy of a root file system that is to be the image of a podman
# machine, as root, with the network and the apt configuration of the host. Part of the
# recipe. What podman's own ignition file and `podman machine start` need of an image,
# and of Fedora CoreOS what concerns an installation: a /usr that can't be written to,
# and the links into /var.
set -eu

mount -t proc proc /proc
apt-get -q -o APT::Sandbox::User=root update
# Not in Fedora CoreOS.
apt-get -q -y -o APT::Sandbox::User=root purge buildah runc strace make qemu-user qemu-user-binfmt
# Fedora CoreOS has its user from its own base configuration.
mkdir -p /usr/lib/ignition/base.d
cat >/usr/lib/ignition/base.d/00-core.ign <<'IGN'
{"ignition": {"version": "3.0.0"}, "passwd": {"users": [
  {"name": "core", "gecos": "CoreOS Admin", "groups": ["adm", "sudo", "systemd-journal"], "homeDir": "/var/home/core", "shell": "/bin/bash"}]}}
IGN
# Debian's ignition relabels what it writes wherever /sys/fs/selinux is, and it is there
# without a policy too. It calls setfiles in the initrd.
mkdir -p /etc/selinux
printf 'SELINUX=disabled\nSELINUXTYPE=targeted\n' >/etc/selinux/config
printf '#!/bin/sh\nexit 0\n' >/usr/sbin/setfiles
chmod 0755 /usr/sbin/setfiles

# Before the kernel is installed, which makes the initrd.
mkdir -p /etc/dracut.conf.d
cat >/etc/dracut.conf.d/machine.conf <<'DRACUT'
hostonly="no"
compress="zstd"
add_dracutmodules+=" ignition "
omit_dracutmodules+=" plymouth lvm mdraid crypt dm dmraid multipath iscsi nfs cifs nbd btrfs "
add_drivers+=" qemu_fw_cfg virtio_blk virtio_net virtio_pci "
install_items+=" /usr/lib/ignition/base.d/00-core.ign /usr/sbin/setfiles /bin/bash useradd usermod groupadd "
DRACUT
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends \
	linux-image-cloud-amd64 dracut dracut-network ignition e2fsprogs kmod udev zstd \
	openssh-server sudo iproute2 python3-minimal ansible-core

# A policy, which is not in force but where a test boots with it: Debian's, permissive. It comes
# after the initrd, whose ignition keeps the stand-in. /var is what Fedora CoreOS has there.
rm /usr/sbin/setfiles
apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends policycoreutils selinux-policy-default selinux-utils
printf 'SELINUX=permissive\nSELINUXTYPE=default\n' >/etc/selinux/config
printf '%s\n' '/var/usrlocal /usr/local' '/var/opt /opt' '/var/home /home' '/var/roothome /root' >>/etc/selinux/default/contexts/files/file_contexts.subs_dist

userdel --remove builder
userdel --remove core
rm -f /var/lib/systemd/linger/* /etc/sudoers.d/core
: >/etc/subuid
: >/etc/subgid

# What podman's ignition file takes for granted. A link of its own is not to overwrite
# another one: /etc/localtime. It disables a unit that Fedora CoreOS has: zincati.
# Source: podman pkg/machine/ignition/ignition.go.
rm -f /etc/localtime
printf '[Service]\nType=oneshot\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n' >/usr/lib/systemd/system/zincati.service
# ready.service waits for the device of a virtio port, which systemd knows by its tag.
cat >/etc/udev/rules.d/90-virtio-ports.rules <<'RULE'
SUBSYSTEM=="virtio-ports", KERNEL=="vport*", SYMLINK+="virtio-ports/%k", TAG+="systemd"
RULE

echo '%sudo ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/core
# ignition writes fragments.
echo 'AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys.d/ignition' >/etc/ssh/sshd_config.d/ignition.conf
# As in Fedora: a sshd that needs nothing generated at boot.
ssh-keygen -A

# Presets are applied at the first boot, those of ignition among them.
echo uninitialized >/etc/machine-id
rm -rf /etc/systemd/system/*.wants /etc/systemd/user/*.wants
mkdir -p /etc/systemd/system-preset
cat >/etc/systemd/system-preset/10-machine.preset <<'PRESET'
enable ssh.service
enable systemd-networkd.service
enable usr-readonly.service
enable ignition-firstboot-done.service
PRESET
echo 'disable *' >/etc/systemd/system-preset/99-none.preset
mkdir -p /etc/systemd/network
printf '[Match]\nName=en* eth*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' >/etc/systemd/network/10-all.network
rm -f /etc/hostname

cat >/etc/systemd/system/usr-readonly.service <<'UNIT'
[Unit]
Description=/usr is read-only, as that of Fedora CoreOS
DefaultDependencies=no
Before=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=mount --bind /usr /usr
ExecStart=mount -o remount,bind,ro /usr
[Install]
WantedBy=local-fs.target
UNIT
cat >/etc/systemd/system/ignition-firstboot-done.service <<'UNIT'
[Unit]
Description=The next boot does without ignition
ConditionKernelCommandLine=ignition.firstboot
[Service]
Type=oneshot
ExecStart=sh -ec 'mount LABEL=BOOT /boot; sed -i "s/ ignition.firstboot//" /boot/syslinux.cfg; umount /boot'
[Install]
WantedBy=multi-user.target
UNIT

# gvproxy gives up when sshd is not there within 97 s: what this machine can do without
# is not started.
for unit in ldconfig.service systemd-sysext.service systemd-confext.service systemd-update-done.service systemd-journal-catalog-update.service \
	systemd-firstboot.service systemd-boot-check-no-failures.service systemd-pstore.service systemd-binfmt.service systemd-hostnamed.socket \
	systemd-creds.socket systemd-sysext.socket systemd-journalctl.socket systemd-journalctl-metrics.socket systemd-mute-console.socket \
	systemd-ask-password.socket systemd-ask-password-console.path systemd-ask-password-wall.path systemd-factory-reset.socket \
	systemd-journald-audit.socket systemd-networkd-resolve-hook.socket systemd-networkd-wait-online.service systemd-networkd-varlink-metrics.socket \
	systemd-network-generator.service systemd-networkd-persistent-storage.service systemd-random-seed.service systemd-rfkill.socket \
	systemd-tmpfiles-clean.timer systemd-remount-fs.service systemd-modules-load.service systemd-hwdb-update.service systemd-sysusers.service \
	getty.target getty-static.service getty@tty1.service serial-getty@ttyS0.service sshd-keygen.service netavark-dhcp-proxy.socket netavark-dhcp-proxy.service \
	podman-auto-update.timer podman-restart.service podman-clean-transient.service proc-sys-fs-binfmt_misc.automount dev-hugepages.mount dev-mqueue.mount \
	sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount tmp.mount remote-fs.target; do
	ln -sf /dev/null "/etc/systemd/system/$unit"
done
touch /etc/.updated /var/.updated

# Links as Fedora CoreOS has them.
mkdir -p /var/usrlocal /var/opt /var/home /var/roothome
cp -a /usr/local/. /var/usrlocal
# shellcheck disable=SC2114
rm -rf /usr/local /opt /home
ln -s ../var/usrlocal /usr/local
ln -s var/opt /opt
ln -s var/home /home
cp -a /root/. /var/roothome
chmod 0700 /var/roothome
rm -rf /root
ln -s var/roothome /root

echo 'LABEL=root / ext4 rw 0 0' >/etc/fstab
setfiles -m -F -e /proc /etc/selinux/default/contexts/files/file_contexts / # -m: a host without SELinux says of no mount that it has labels
mv /boot/vmlinuz-* /boot/vmlinuz
mv /boot/initrd.img-* /boot/initrd
umount /proc
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
