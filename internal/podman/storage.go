package podman

import (
	"path"
	"strconv"
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

// Storage is a storage of containers/storage's: where it is, and how its layers are stacked.
//
// Source: containers/storage 1.59, containers.go, newContainerStore, containersToSaveTo;
// drivers/overlay/overlay.go, drivers/vfs/driver.go, dir.
type Storage struct {
	Graph, Driver string
}

// Drivers that are known here.
const (
	overlayDriver = "overlay"
	vfsDriver     = "vfs"
)

// Known reports whether it is known how the driver keeps layers.
func (s Storage) Known() bool { return s.Driver == overlayDriver || s.Driver == vfsDriver }

// Containers is the directory of what is known of containers, a directory for each.
func (s Storage) Containers() string { return path.Join(s.Graph, s.Driver+"-containers") }

// ContainerLists are the files that list them: those that survive a boot, and the others.
func (s Storage) ContainerLists() []string {
	return []string{path.Join(s.Containers(), "containers.json"), path.Join(s.Containers(), volatileList)}
}

const volatileList = "volatile-containers.json"

// TransientList is the file that lists containers of a transient store (`podman --transient-store`,
// storage.conf's transient_store), in the directory for what does not survive a boot, which is that
// of a user where nothing else is configured. TransientFlag is podman's.
//
// Source: containers/storage 1.43 to 1.64, containers.go, newContainerStore; types/options.go.
func (s Storage) TransientList(uid int) string {
	run := "/run/containers/storage"
	if uid != 0 {
		run = path.Join("/run/user", strconv.Itoa(uid), "containers")
	}
	return path.Join(run, s.Driver+"-containers", volatileList)
}

// TransientFlag has podman use a transient store.
const TransientFlag = "--transient-store"

// BuilderState is the file of a container that buildah has made.
//
// Source: containers/buildah 1.28 to 1.43, buildah.go, stateFile.
func (s Storage) BuilderState(container string) string {
	return path.Join(s.Containers(), container, "userdata", "buildah.json")
}

// Layer is the directory of a layer, LayerFiles that of its own files.
func (s Storage) Layer(layer string) string {
	if s.Driver == vfsDriver {
		return path.Join(s.Graph, vfsDriver, "dir", layer)
	}
	return path.Join(s.Graph, s.Driver, layer)
}

func (s Storage) LayerFiles(layer string) string {
	if s.Driver == vfsDriver {
		return s.Layer(layer)
	}
	return path.Join(s.Layer(layer), "diff")
}

// LayerAt is the layer that a directory holds the files of, its own or all that it shows.
func LayerAt(dir string) (s Storage, layer string, ok bool) {
	layer, s.Driver = path.Base(dir), vfsDriver
	above, found := strings.CutSuffix(path.Dir(dir), "/"+vfsDriver+"/dir")
	if !found {
		number, own := strings.CutPrefix(layer, "diff")
		if own = own && strings.Trim(number, decimal) == ""; !own && layer != "merged" {
			return Storage{}, "", false
		}
		layer, s.Driver = path.Base(path.Dir(dir)), overlayDriver
		above, found = strings.CutSuffix(path.Dir(path.Dir(dir)), "/"+overlayDriver)
	}
	if s.Graph = above; !found || !path.IsAbs(above) || !IsLayer(layer) {
		return Storage{}, "", false
	}
	return s, layer, true
}

// IsLayer reports whether a name is the ID of a layer, or of a container.
func IsLayer(name string) bool { return len(name) == 64 && isAll(name, decimal+"abcdef") }

// BundleOfRoot is the bundle of the RUN container whose root file system its monitor has
// mounted there, for itself.
//
// Source: containers/buildah, bind/mount.go, SetupIntermediateMountNamespace. A look at podman
// 4.3.1 and 5.4.2.
func BundleOfRoot(mountPoint string) (bundle string, ok bool) {
	bundle, ok = strings.CutSuffix(mountPoint, "/mnt/rootfs")
	return bundle, ok && path.IsAbs(bundle) && path.Dir(bundle) != "/" && IsBundle(bundle)
}

// Flags are those, of podman and of buildah, that choose the storage.
func (s Storage) Flags() []string { return []string{"--root", s.Graph, "--storage-driver", s.Driver} }

// A Tool removes working containers from storage.
type Tool struct {
	Name   string
	Remove []string // the verb and its flags, before the IDs
	// Info prints the graph and the driver of the storage that is configured, and podman where it makes
	// temporary files.
	Info []string
}

// Tools are those that there may be, best first. podman's `rm` asks its own database whether
// the ID is that of a container of `podman run` before it removes it from storage, and, rootless,
// unmounts in the namespace that the mount is in.
//
// Source: containers/podman 4.3 to 5.8, pkg/domain/infra/abi/containers.go, ContainerRm;
// libpod/runtime_cstorage.go, RemoveStorageContainer; libpod/info.go; containers/buildah, cmd/buildah/info.go.
func Tools() []Tool {
	return []Tool{
		{"podman", []string{"rm", "--force"}, []string{"info", "--format", "{{.Store.GraphRoot}} {{.Store.GraphDriverName}} {{.Store.ImageCopyTmpDir}}"}},
		{"buildah", []string{"rm"}, []string{"info", "--format", "{{.store.GraphRoot}} {{.store.GraphDriverName}}"}},
	}
}

// storageVariables are those of the environment by which a user's storage, and its tools, are found.
//
// Source: containers/storage 1.59, types/options.go, types/utils.go; containers-storage.conf(5),
// containers.conf(5).
var storageVariables = [...]string{
	"PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
	"CONTAINERS_STORAGE_CONF", "CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE", "STORAGE_DRIVER", "STORAGE_OPTS", TemporaryVariable,
}

// StorageVariables returns their names.
func StorageVariables() []string { return storageVariables[:] }

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
	_, layer, _ := LayerAt("/" + upper[:end])
	return layer
}
