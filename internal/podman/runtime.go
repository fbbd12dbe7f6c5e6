package podman

import (
	"path"
	"slices"
	"strconv"
)

// runtimes are the OCI runtimes known here, in the order of the drop-in, with the paths
// that podman has compiled in for them, in podman's order.
//
// Source: containers/common 0.50 to 0.64, pkg/config/default.go, defaultEngineConfig,
// OCIRuntimes.
var runtimes = [...]struct {
	name  string
	paths []string
}{
	{"crun", []string{
		"/usr/bin/crun",
		"/usr/sbin/crun",
		"/usr/local/bin/crun",
		"/usr/local/sbin/crun",
		"/sbin/crun",
		"/bin/crun",
		"/run/current-system/sw/bin/crun",
	}},
	{"runc", []string{
		"/usr/bin/runc",
		"/usr/sbin/runc",
		"/usr/local/bin/runc",
		"/usr/local/sbin/runc",
		"/sbin/runc",
		"/bin/runc",
		"/usr/lib/cri-o-runc/sbin/runc",
		"/run/current-system/sw/bin/runc",
	}},
}

// Runtimes returns the names of the OCI runtimes that are known here.
func Runtimes() []string {
	names := make([]string, 0, len(runtimes))
	for _, r := range runtimes {
		names = append(names, r.name)
	}
	return names
}

// RuntimePaths returns where podman looks for each of them, if its configuration does not
// say otherwise.
func RuntimePaths() map[string][]string {
	paths := make(map[string][]string, len(runtimes))
	for _, r := range runtimes {
		paths[r.name] = slices.Clone(r.paths)
	}
	return paths
}

// CompiledIn is RuntimePaths of one runtime, for callers who have no memory to copy them to; none for
// a name that is not known here. The paths are not to be changed.
func CompiledIn(name string) []string {
	for i := range runtimes {
		if runtimes[i].name == name {
			return runtimes[i].paths
		}
	}
	return nil
}

// RuntimeDirectories are where a runtime keeps what it knows of its containers, a directory for each, for
// root and for a user, whose session may be root's as well.
//
// Source: containers/crun 1.8 to 1.28, src/libcrun/status.c, libcrun_get_state_directory; opencontainers/runc
// 1.1 to 1.3, main.go and rootless_linux.go.
func RuntimeDirectories(name string, uid int) []string {
	return []string{path.Join("/run", name), path.Join("/run/user", strconv.Itoa(uid), name)}
}

// NoRuntime is what podman says of a runtime that the host does not have.
//
// Source: containers/podman 4.3 to 6.0, libpod/oci_conmon_common.go, newConmonOCIRuntime.
const NoRuntime = "no valid executable found for OCI runtime"

// Flags of the runtimes that mean something here. SystemdCgroup makes them read
// linux.cgroupsPath as "slice:prefix:name" instead of as a cgroup's path.
const (
	SystemdCgroup = "--systemd-cgroup"
	Bundle        = "--bundle"
	BundleShort   = "-b"
)

// BundleConfig is the file of a bundle that tells the OCI runtime what to run.
//
// Source: opencontainers/runtime-spec 1.2, bundle.md.
const BundleConfig = "config.json"

// createFlags are the flags that may stand before or after `create`, and whether a value
// follows.
//
// Source: containers/crun 1.8 to 1.21, src/crun.c and src/create.c; opencontainers/runc
// 1.1, main.go and create.go.
var createFlags = map[string]bool{
	// before the command
	"--root":       true,
	"--log":        true,
	"--log-format": true,
	"--log-level":  true,
	"--debug":      false,
	SystemdCgroup:  false,
	// after it
	Bundle:             true,
	BundleShort:        true,
	"--pid-file":       true,
	"--console-socket": true,
	"--preserve-fds":   true,
	"--pidfd-socket":   true,
	"--no-pivot":       false,
	"--no-new-keyring": false,
	"--no-subreaper":   false,
}

// CreateFlag reports whether a value follows a flag of `create`, and whether the flag is
// known at all.
func CreateFlag(name string) (value, known bool) {
	value, known = createFlags[name]
	return value, known
}
