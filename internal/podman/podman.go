// Package podman holds what podman, buildah and the OCI runtimes look like from
// outside: what their programs, processes, cgroups, directories and files are called, and
// how their command lines and their configuration are read. Each fact stands here alone,
// with its source. It does no I/O and imports little: the runtime's wrapper starts ten
// times a second.
//
// Names say where to look. None of them is a ground to end a process.
package podman

import (
	"path"
	"strconv"
	"strings"
)

// builders are the programs that build, by the names of their files.
var builders = [...]string{"podman", "buildah"}

// Builders returns the names of the programs that build.
func Builders() []string { return builders[:] }

// directories are where a distribution or an administrator installs them.
var directories = [...]string{"/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin"}

// IsBuilder reports whether a program is called as one that builds.
func IsBuilder(name string) bool { return name == builders[0] || name == builders[1] }

// Directories returns where builders are installed.
func Directories() []string { return directories[:] }

// Programs returns the paths of the builders that may be installed.
func Programs() []string {
	paths := make([]string, 0, len(directories)*len(builders))
	for _, dir := range directories {
		for _, name := range builders {
			paths = append(paths, path.Join(dir, name))
		}
	}
	return paths
}

// TidiesByHangup reports whether a program, the target of /proc/PID/exe, is one that tidies up
// after its RUN step by SIGHUP, and not for certain by SIGTERM: podman ends at once by that, in a
// race with buildah's own handler, the only one of SIGHUP. Between two steps it ends by either.
// buildah tidies up by both.
//
// Source: containers/podman 4.3 to 5.8, libpod/shutdown/handler.go; containers/buildah 1.28 to
// 1.43, run_common.go, runUsingRuntimeSubproc; findings/podman-sighup-cleans-up-sigint-does-not.sh.
func TidiesByHangup(exe string) bool { return ProgramName(exe, nil) == builders[0] }

// Mappers returns the paths of the program that a rootless builder has its UIDs mapped by.
func Mappers() []string {
	paths := make([]string, 0, len(directories))
	for _, dir := range directories {
		paths = append(paths, path.Join(dir, "newuidmap"))
	}
	return paths
}

// rootlessScope begins the name of the scope that a rootless podman makes of itself.
//
// Source: containers/podman 5.4, pkg/domain/infra/abi/system_linux.go, SetupRootless;
// pkg/systemd, MovePauseProcessToScope.
const rootlessScope = "podman-"

// IsRootlessScope reports whether a scope is called as one that a rootless podman makes of
// itself.
func IsRootlessScope(unit string) bool {
	return strings.HasPrefix(unit, rootlessScope) && strings.HasSuffix(unit, ".scope")
}

// RootlessScope is the name of the scope that a rootless podman makes of itself.
func RootlessScope(pid int) string { return rootlessScope + strconv.Itoa(pid) + ".scope" }

// BesideCgroup is a cgroup beside which the OCI runtime would make a rootless builder's
// containers: builder is the builder's own, command its name and verb.
//
// buildah makes none: its containers stay where it is. podman's are beside its own scope,
// or its service, in the user's manager.
//
// Source: a look at podman 4.3.1, 5.4.2 and 5.8.6 with crun; the user's manager makes
// runc's in user.slice, which is an inner slice of the same manager as well.
func BesideCgroup(builder, command string, uid uint32) string {
	manager := "/user@" + strconv.FormatUint(uint64(uid), 10) + ".service/"
	if i := strings.Index(builder, manager); i >= 0 && strings.HasPrefix(command, "podman") {
		return builder[:i] + manager + "app.slice"
	}
	return builder
}
