#!/bin/sh
# Runs once inside the root file system of a podman machine's host, as root: makes
# /mnt/image.qcow2 of the tree /mnt/root. Part of the recipe. No loop device, no mount:
# the boot loader is in a FAT, which syslinux writes by itself, and mke2fs copies a tree.
set -eu

options='quiet systemd.show_status=0 audit=0 mitigations=off fsck.mode=skip selinux=0'
options="$options modprobe.blacklist=ata_piix,pata_acpi,ata_generic,sr_mod,sd_mod,sg,floppy,psmouse,kvm_amd,kvm_intel,kvm,i2c_piix4,bochs"
mount -t proc proc /proc # where syslinux names its files to mtools
cd /mnt
cat >syslinux.cfg <<CFG
default machine
prompt 0
label machine
 kernel vmlinuz
 append initrd=initrd root=LABEL=root rw ignition.platform.id=qemu ignition.firstboot $options
CFG
mib=1048576
truncate -s $((128 * mib)) boot.img
mkfs.vfat -n BOOT boot.img >/dev/null
mcopy -i boot.img syslinux.cfg root/boot/vmlinuz root/boot/initrd ::
syslinux --install boot.img
rm -rf root/boot/*
mke2fs -q -t ext4 -L root -d root root.img 9G

# byte NUMBER..., word NUMBER (32 bits, the lowest byte first)
byte() { for n in "$@"; do printf '%b' "\\0$(printf %03o "$n")"; done; }
word() { byte $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255)); }
# partition FLAG TYPE START-MIB SIZE-MIB: addresses by cylinder are not used.
partition() {
	byte "$1" 0 0 0 "$2" 0 0 0
	word $(($3 * 2048))
	word $(($4 * 2048))
}
{
	head -c 440 /usr/lib/syslinux/mbr/mbr.bin
	word 0
	byte 0 0
	partition 128 12 1 128
	partition 0 131 129 9216
	head -c 32 /dev/zero
	byte 85 170
} >disk.img
[ "$(stat -c %s disk.img)" = 512 ]
truncate -s $(((129 + 9216 + 1) * mib)) disk.img
dd if=boot.img of=disk.img bs=1M seek=1 conv=notrunc,sparse status=none
dd if=root.img of=disk.img bs=1M seek=129 conv=notrunc,sparse status=none
qemu-img convert -f raw -O qcow2 disk.img image.qcow2
rm -f disk.img boot.img root.img syslinux.cfg
