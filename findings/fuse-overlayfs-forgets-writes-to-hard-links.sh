#!/bin/bash
# Debian trixie: fuse-overlayfs 1.14-1+b1; compared with the kernel's overlayfs, Linux 6.18
#
# What is written to a file that has a second name (a hard link) in the lower directory is gone when the same directories are
# mounted again: meanwhile both names have the new content, afterwards both have the old. The upper directory has it, under one of
# the two names, whichever was written to, and the kernel's overlayfs, with the same directories, shows it under that one.
#
# One would have guessed that what was written is there, under the name that it was written to at the least: that is what the
# kernel's overlayfs does, which makes two files of the two names.
#
# Why: the copy is marked as the lower file (user.fuseoverlayfs.origin), by which the two names are one file again.
#
# Seen: as in the claims at the end.
. "$(dirname "$0")/lib.bash"
[ -c /dev/fuse ] || unseen "no /dev/fuse"
stated_kernel 6.18
unpack trixie fuse-overlayfs=1.14-1+b1 busybox-static
cat >"$work/run/look.sh" <<'SH'
busybox=/usr/bin/busybox
look() { echo $($busybox cat /mnt/mnt/one /mnt/mnt/two); }
mount() { # mount KIND
	case $1 in
	fuse) fuse-overlayfs -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work /mnt/mnt 2>/run/log ;;
	kernel) $busybox mount -t overlay none -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work /mnt/mnt ;;
	esac
}
unmount() { $busybox umount /mnt/mnt; $busybox sleep 1; }
$busybox mkdir -p /mnt
$busybox mount -t tmpfs none /mnt
for kind in fuse kernel; do
	$busybox rm -rf /mnt/lower /mnt/upper /mnt/work /mnt/mnt
	$busybox mkdir /mnt/lower /mnt/upper /mnt/work /mnt/mnt
	echo old >/mnt/lower/one
	$busybox ln /mnt/lower/one /mnt/lower/two
	echo old >/mnt/lower/single
	mount $kind
	echo new >/mnt/mnt/one
	echo new >/mnt/mnt/single
	look
	unmount
	mount $kind
	look
	$busybox cat /mnt/mnt/single
	unmount
	[ $kind = kernel ] || for file in /mnt/upper/*; do case $file in */single) ;; *) $busybox cat $file ;; esac; done
done
SH
(within /usr/bin/busybox sh -e /run/look.sh) >"$work/seen" 2>"$work/log" || unseen "$(tail -1 "$work/log")"
{
	read -r fuse; read -r again; read -r single; read -r upper
	read -r kernel; read -r kernel_again; read -r _
} <"$work/seen"
claim "one, which was written to, and two" "new new" "$fuse"
claim "the same in a new mount" "old old" "$again"
claim "a file with one name" "new" "$single"
claim "what is in the upper directory" "new" "$upper"
claim "the kernel: one and two, then and in a new mount" "new old, new old" "$kernel, $kernel_again"
