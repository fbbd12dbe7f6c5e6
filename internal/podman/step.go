package podman

import (
	"io/fs"
	"path"
	"slices"
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

// IsBundle reports whether a directory is called as the bundle of a RUN container.
func IsBundle(directory string) bool {
	digits, ok := strings.CutPrefix(path.Base(directory), bundlePrefix)
	return ok && isAll(digits, decimal)
}

// builderTemporaries begin the names of other directories that a builder makes for itself, and
// removes before it ends, if at all: of an image that it pulls, of a context that it must not change
// or has fetched, of heredocs, layouts, root file systems and sockets. Digits follow.
//
// Source: containers/buildah 1.28 to 1.43, imagebuildah/build_linux.go, imagebuildah/stage_executor.go,
// internal/types.go, internal/sanitize/sanitize.go, internal/mkcw/archive.go, pkg/sshagent/sshagent.go,
// cmd/buildah/run.go; containers/image 5.27 to 5.39, internal/tmpdir/tmpdir.go, storage/storage_dest.go,
// oci/archive; containers/podman 5.4 to 6.0, cmd/podman/common/build.go, pkg/api/handlers/libpod/kube.go.
var builderTemporaries = []string{
	"container_images_storage", "container_images_oci", "buildah-context-", "buildah-heredoc", "buildah-layout-", "buildah-rootfs",
	".buildah-ssh-sock", "buildah-socket", "buildah-external-artifacts", "buildahvolume", "podman-build-context-", "libpod_kube",
}

// builderFiles begin the names of files that it makes so: of a RUN step's heredoc, of an archive that it
// builds from, of a Containerfile or credentials that came by a descriptor, of an image. Digits follow.
//
// Source: containers/buildah 1.28 to 1.43, imagebuildah/stage_executor.go, createNeededHeredocMountsForRun;
// internal/sanitize/sanitize.go, pkg/util/util.go; containers/image 5.27 to 5.39, internal/tmpdir/tmpdir.go;
// containers/podman 5.8 to 6.0, pkg/bindings/images/build.go.
var builderFiles = []string{
	"buildahheredoc", "buildah-archive-", "buildah-temp-file", "podman-build-stdin-", "podman-build-fd-",
	"container_images_", "container_images_docker-tar", "container_images_stream-blob",
}

// SecretDirectory is where buildah before 1.38 has the secrets that are in its environment.
//
// Source: containers/buildah 1.28 to 1.37, define/mount_linux.go, TempDir; run_common.go, getSecretMount.
const SecretDirectory = "/dev/shm"

// IsBuilderMount reports whether a builder itself mounts something there, for the host, in a
// directory that it has made: the source of a `RUN --mount=type=bind` in a bundle, and an overlay
// of the context.
//
// Source: containers/buildah 1.33 to 1.43, run_common.go, runSetupRunMounts; internal/volumes/bind_linux.go,
// bindFromChroot; imagebuildah/build_linux.go, platformSetupContextDirectoryOverlay; pkg/overlay/overlay.go, TempDir.
func IsBuilderMount(directory, mountPoint string) bool {
	below, ok := strings.CutPrefix(mountPoint, directory+"/")
	first, rest, _ := strings.Cut(below, "/")
	digits, mounts := strings.CutPrefix(first, "mounts")
	return ok && rest != "" && (mounts && isAll(digits, decimal) || first == "overlay")
}

// IsBuilderTemporary reports whether a directory is called as one of these.
func IsBuilderTemporary(directory string) bool { return isNumbered(directory, builderTemporaries) }

// IsBuilderFile reports whether a file with such permissions is called as one of these, or is a secret of
// a RUN step's that was in the builder's environment: it is called as a bundle, and not to be written.
//
// Source: containers/buildah 1.28 to 1.43, run_common.go, getSecretMount.
func IsBuilderFile(file string, perm fs.FileMode) bool {
	return isNumbered(file, builderFiles) || perm&0o222 == 0 && IsBundle(file)
}

// IsImageDirectory reports whether a directory with such permissions is called as that into which podman
// before 4.7 pulls an image. Others could be called so: IsBlob is how all that is in it is called.
//
// Source: containers/image 5.23 to 5.26, storage/storage_dest.go, newImageDestination, computeNextBlobCacheFile.
func IsImageDirectory(directory string, perm fs.FileMode) bool {
	return perm == 0o700 && isNumbered(directory, []string{"storage"})
}

// IsBlob reports whether a file is called as one in such a directory.
func IsBlob(name string) bool { return isAll(name, decimal) }

func isNumbered(file string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		digits, ok := strings.CutPrefix(path.Base(file), prefix)
		return ok && isAll(digits, decimal)
	})
}

// MakesTemporaries reports whether a program is called as one that makes directories which are
// called as a bundle or as one of these, whatever it was told to do: podman commit, pull, skopeo copy.
func MakesTemporaries(name string) bool {
	return IsBuilder(name) || strings.HasPrefix(name, "podman-remote") || name == "skopeo" || name == "crio"
}

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
	for _, r := range runtimes {
		if rest, cut := strings.CutPrefix(name, r.name+"-"); cut {
			name = rest
			break
		}
	}
	number, ok := strings.CutPrefix(name, ContainerPrefix)
	if !ok || !isAll(number, decimal) {
		return "", "", false
	}
	return own, name, true
}

// IsPodmanContainer reports whether a cgroup is one of `podman run`.
//
// Source: containers/podman 5.4, libpod/container_internal_linux.go.
func IsPodmanContainer(cgroup string) bool { return strings.Contains(cgroup, "libpod-") }

const decimal = "0123456789"

// isAll reports whether a text is not empty, and of such characters alone.
func isAll(text, characters string) bool { return text != "" && strings.Trim(text, characters) == "" }
