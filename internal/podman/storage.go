package podman

import (
	"path"
	"strings"
)

// MountHelper is the program that mounts a rootless user's storage where the kernel
// can't, or where storage.conf says so; MountHelperType, the type of its mounts.
//
// Source: containers/storage 1.59, storage.conf(5), mount_program;
// containers/fuse-overlayfs 1.10 to 1.14, main.c.
const (
	MountHelper     = "fuse-overlayfs"
	MountHelperType = "fuse." + MountHelper
)

// IsMountHelper reports whether a program, the target of /proc/PID/exe, is called so.
func IsMountHelper(exe string) bool {
	return path.Base(strings.TrimSuffix(exe, " (deleted)")) == MountHelper
}

// StepLayer is the layer of containers/storage that a process has as its root, by the
// line of mountinfo on that; "" for none.
//
// Source: proc_pid_mountinfo(5); containers/storage 1.59, drivers/overlay.
func StepLayer(root string) string {
	before, after, ok := strings.Cut(root, " - overlay ")
	fields := strings.Fields(before)
	if !ok || len(fields) < 5 || fields[3] != "/" || fields[4] != "/" {
		return ""
	}
	_, upper, ok := strings.Cut(after, "upperdir=/")
	if !ok {
		return ""
	}
	end := strings.IndexAny(upper, ", ")
	if end < 0 {
		return ""
	}
	layer, ok := strings.CutSuffix(upper[:end], "/diff")
	dir, name := path.Split(layer)
	if !ok || path.Base(dir) != "overlay" || len(name) != 64 || !isAll(name, "0123456789abcdef") {
		return ""
	}
	return name
}
