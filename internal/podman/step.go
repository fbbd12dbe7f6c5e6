package podman

import (
	"path"
	"strings"
)

// ContainerPrefix begins the ID of every RUN container of buildah and podman build:
// "buildah-" and the name of its bundle, which os.MkdirTemp("", "buildah") made.
//
// Source: containers/buildah 1.28 to 1.43, run_linux.go, Run.
const (
	containerOfBundle = "buildah-"
	bundlePrefix      = "buildah"
	ContainerPrefix   = containerOfBundle + bundlePrefix
)

// ContainerOf is the ID of the RUN container whose bundle is called so.
func ContainerOf(bundle string) string { return containerOfBundle + bundle }

// crunPayload is the cgroup in its scope that crun puts a container into.
//
// Source: containers/crun 1.21, src/libcrun/cgroup-systemd.c.
const crunPayload = "/container"

// StepCgroup takes apart where a process is: own is the part that is a RUN container's
// alone, by the name that the OCI runtime gives it, and container the container's ID.
//
// Source: containers/buildah, run_linux.go, Run; containers/crun 1.21,
// src/libcrun/cgroup-systemd.c; opencontainers/runc 1.1, libcontainer/cgroups.
func StepCgroup(where string) (own, container string, ok bool) {
	own = strings.TrimSuffix(where, crunPayload)
	name := strings.TrimSuffix(path.Base(own), ".scope")
	for _, runtime := range []string{"crun-", "runc-"} {
		if rest, cut := strings.CutPrefix(name, runtime); cut {
			name = rest
			break
		}
	}
	number, ok := strings.CutPrefix(name, ContainerPrefix)
	if !ok || !isAll(number, "0123456789") {
		return "", "", false
	}
	return own, name, true
}

// IsPodmanContainer reports whether a cgroup is one of `podman run`.
//
// Source: containers/podman 5.4, libpod/container_internal_linux.go.
func IsPodmanContainer(cgroup string) bool { return strings.Contains(cgroup, "libpod-") }

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

// isAll reports whether a text is not empty, and of such characters alone.
func isAll(text, characters string) bool { return text != "" && strings.Trim(text, characters) == "" }
