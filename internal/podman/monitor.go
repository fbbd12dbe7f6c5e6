package podman

import (
	"path"
	"strings"
)

// argv[0] of a monitor: the builder's re-execution of itself that runs one RUN step. An
// OCI monitor reaps the OCI runtime's container; the step of a chroot monitor is below
// it, in the caller's cgroup and PID namespace.
//
// Source: containers/buildah 1.28 to 1.43, run_common.go, runUsingRuntimeCommand;
// chroot/run_common.go, runUsingChrootCommand.
const (
	OCIMonitor    = "buildah-oci-runtime"
	ChrootMonitor = "buildah-chroot-runtime"
)

// Reexec is the comm of a program that has executed itself again by its link in /proc.
//
// Source: containers/storage 1.59, pkg/reexec/command_linux.go; proc_pid_comm(5).
const Reexec = "exe"

// Process is what must be known of a process to tell what it is to a build.
type Process struct {
	File any      // what tells its program's file from others, comparable; nil if not known
	Exe  string   // where /proc/PID/exe points to
	Size uint64   // of the file
	Args []string // its command line
}

// Monitor reports whether a builder's child is the monitor of a step, and whether that
// step has chroot isolation. It must run its parent's program, by its file; or, for
// chroot isolation, a copy that containers/storage has made of it in memory, which is as
// large. Anybody can be called like a monitor.
//
// Source: containers/storage 1.59, pkg/unshare/unshare.c, containers_reexec; pkg/reexec.
func Monitor(child, builder Process) (chroot, ok bool) {
	if !IsMonitor(child.Args) || child.File == nil || builder.File == nil {
		return false, false
	}
	if child.Args[0] == ChrootMonitor {
		return true, child.RunsProgramOf(builder)
	}
	return false, child.File == builder.File
}

// IsMonitor reports whether a command line is that of a monitor.
func IsMonitor(args []string) bool {
	return len(args) > 0 && (args[0] == OCIMonitor || args[0] == ChrootMonitor)
}

// RunsProgramOf reports whether a process runs the file that the other one does, or a
// copy of it in memory.
func (p Process) RunsProgramOf(other Process) bool {
	return p.File != nil && p.File == other.File || IsMemoryCopy(p.Exe) && p.Size == other.Size && p.Size > 0
}

// IsMemoryCopy reports whether a program is a file that exists in memory alone.
//
// Source: memfd_create(2); containers/storage, pkg/unshare/unshare.c,
// copy_self_proc_exe.
func IsMemoryCopy(exe string) bool { return strings.HasPrefix(exe, "/memfd:") }

// IsNamespaceCopy reports whether a program is the copy of a builder in memory that it has
// executed in a user namespace of its own.
func IsNamespaceCopy(exe string) bool {
	return IsMemoryCopy(exe) && strings.HasSuffix(strings.TrimSuffix(exe, " (deleted)"), userNamespaceSuffix)
}

// userNamespaceSuffix is what a rootless buildah, or a program with buildah built in,
// puts behind its argv[0] when it executes itself again in a user namespace. It does so
// from a mount that is detached already: its /proc/PID/exe reads "/". Where it may not
// mount, it is from a copy in memory.
//
// Source: containers/storage 1.59, pkg/unshare/unshare_linux.go,
// MaybeReexecUsingUserNamespace; unshare.c, try_bindfd, copy_self_proc_exe.
const (
	userNamespaceSuffix = "-in-a-user-namespace"
	Unreachable         = "/"
)

// ProgramName is what a program is called: by its file, or, where that has no name that
// anybody could reach, by its command line.
func ProgramName(exe string, args []string) string {
	exe = strings.TrimSuffix(exe, " (deleted)") // an upgrade replaces the file
	if HasPath(exe) {
		return path.Base(exe)
	}
	if len(args) > 0 {
		if name, ok := strings.CutSuffix(path.Base(args[0]), userNamespaceSuffix); ok && IsBuilder(name) {
			return name
		}
	}
	return path.Base(exe)
}

// HasPath reports whether exe, the target of /proc/PID/exe, can be a path.
func HasPath(exe string) bool { return exe != Unreachable && exe != "" && !IsMemoryCopy(exe) }
