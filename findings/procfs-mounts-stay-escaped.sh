#!/bin/bash
# github.com/prometheus/procfs v0.23.0; compared with github.com/moby/sys/mountinfo v0.7.3
#
# The kernel writes a space in a mount point or source as \040 (tab, newline and backslash
# likewise). GetMounts and GetProcMounts hand these four characters on as they are, in fields named
# MountPoint and Source: no such path exists. moby/sys/mountinfo, for the same file, decodes them.
#
# One would have guessed that a library which splits the file's fields also undoes the quoting
# that makes them splittable; every use of MountPoint works until somebody mounts a disk
# named "My Passport".
#
# Seen: procfs "…/a\040b", which os.Stat does not find; mountinfo "…/a b", which it does.
. "$(dirname "$0")/lib.bash"
gomod github.com/prometheus/procfs@v0.23.0 github.com/moby/sys/mountinfo@v0.7.3
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"github.com/prometheus/procfs"
)

func exists(path string) string {
	if _, err := os.Stat(path); err != nil {
		return "missing"
	}
	return "exists"
}

func main() {
	var ours, theirs string
	mounts, err := procfs.GetMounts()
	if err != nil {
		panic(err)
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.MountPoint, os.Args[1]+"/") {
			ours = m.MountPoint
		}
	}
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(os.Args[1]))
	if err != nil || len(infos) != 1 {
		panic(fmt.Sprint(infos, err))
	}
	theirs = infos[0].Mountpoint
	fmt.Println(exists(ours), exists(theirs))
	fmt.Fprintf(os.Stderr, "procfs: %s\nmountinfo: %s\n", ours, theirs)
}
GO
mkdir "$work/a b"
mount -t tmpfs none "$work/a b" || unseen "mount (be root)"
undo+=("umount '$work/a b'")
seen=$(gorun "$work")
claim "what is at the paths of procfs and of mountinfo" "missing exists" "$seen"
