package observe

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// programs knows which executables are builders.
type programs struct {
	systems   map[[2]uint32]bool   // devices of the file systems that are trusted
	installed map[proc.FileID]bool // podman and buildah
	// Others that build, as far as was seen. watch has the kernel tell when one is executed.
	others map[proc.FileID]bool
	watch  func(*os.File) error
}

// maxOthers bounds them. Only root can put there one that is trusted.
const maxOthers = 256

// refresh learns the programs that are installed now, and their file systems, and this
// daemon's own: a file of an overlay can have another device than the directory that it
// is in, and what was installed later another one than what was there before.
//
// Source: linux, Documentation/filesystems/overlayfs.rst, "Inode properties".
func (p *programs) refresh() {
	p.installed, p.others = map[proc.FileID]bool{}, map[proc.FileID]bool{} // an inode number is used again
	if own, err := proc.ProgramOf(unix.Getpid()); err == nil {
		p.systems[[2]uint32{own.Major, own.Minor}] = true
	}
	for _, file := range append(podman.Programs(), podman.Directories()...) {
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, file, 0, unix.STATX_TYPE|unix.STATX_INO, &st); err == nil {
			p.systems[[2]uint32{st.Dev_major, st.Dev_minor}] = true
			p.installed[proc.FileID{Major: st.Dev_major, Minor: st.Dev_minor, Inode: st.Ino}] = true
		}
	}
}

// builder reports whether the process runs a builder, and whether nobody tells when that is
// executed, to know how often to look.
func (p *programs) builder(pid int) (builds, unwatched bool) {
	if !mayBuild(proc.Exe(pid)) {
		return false, false
	}
	return p.believes(pid)
}

// believes reports whether the program that the process runs is believed to be what it is called,
// and whether nobody tells when it is executed.
func (p *programs) believes(pid int) (believed, unwatched bool) {
	program, err := proc.ProgramOf(pid)
	if err != nil {
		return false, false
	}
	if p.trusts(program) {
		return true, false
	}
	if !usersOwn(program) {
		return false, false
	}
	h, err := proc.Open(pid)
	if err != nil {
		return false, false
	}
	defer h.Close()
	runs := runsItsOwn(h, program)
	return runs, runs
}

// learnAgain learns the program of a process that its parent has executed from a mount
// that is detached, in a user namespace of its own: above is where the parent's
// /proc/PID/exe points to. An OCI runtime that runs a copy of itself looks the same, but
// it has executed it in its own place, or its parent is such a copy, too: it is executed
// ten times a second, and each time all processes would be looked at.
//
// Source: containers/storage 1.59, pkg/unshare/unshare_linux.go,
// MaybeReexecUsingUserNamespace; crun 1.21, src/libcrun/cloned_binary.c, clone_binary.
func (p *programs) learnAgain(pid, ppid int, above string) {
	if !podman.HasPath(above) || !p.mayBePair(pid, ppid) {
		return
	}
	if program, err := proc.ProgramOf(pid); err == nil {
		p.learn(pid, program)
	}
}

// learnCopy learns the program of which a process is the copy in memory, in a user namespace of
// its own, that its parent has executed. It reports what builder does.
func (p *programs) learnCopy(pid, ppid int) (builds, unwatched bool) {
	if !p.mayBePair(pid, ppid) {
		return false, false
	}
	if program, err := proc.ProgramOf(ppid); err == nil {
		p.learn(ppid, program)
	}
	return p.believes(ppid)
}

// learn has a trusted program that builds, or may, watched from now on: the next step's
// start is told by the kernel then. A step that ends within the 30 s between two looks, or
// whose builder does, would not be seen otherwise.
func (p *programs) learn(pid int, program proc.Program) {
	if p.watch == nil || p.installed[program.FileID] || p.others[program.FileID] || len(p.others) >= maxOthers || !p.trusts(program) {
		return
	}
	file, err := proc.OpenProgram(pid, program.FileID)
	if err != nil {
		return
	}
	defer file.Close()
	if p.watch(file) == nil {
		p.others[program.FileID] = true
	}
}

// mayBuild reports whether a builder's /proc/PID/exe may read so.
func mayBuild(exe string) bool {
	return exe == podman.Unreachable || podman.HasPath(exe) && podman.IsBuilder(podman.ProgramName(exe, nil))
}

// mayBeMonitor narrows down, by what costs little, which processes are worth a look: comm
// is the process's, exe where its /proc/PID/exe points to, above its parent's. A program that
// has executed itself from memory, or from a mount that nobody can reach, is not called as its
// parent is, whatever that is called.
func mayBeMonitor(comm, exe, above string) bool {
	switch {
	case exe == "" || above == "":
		return false
	case podman.IsMemoryCopy(exe), exe == podman.Unreachable:
		return true
	}
	return exe == above && (mayBuild(above) || comm == podman.Reexec)
}

// mayBePair reports whether the processes run one program, and that may be trusted: else no
// look at a command line is worth it.
func (p *programs) mayBePair(pid, ppid int) bool {
	its, err := proc.ProgramOf(pid)
	parents, parentsErr := proc.ProgramOf(ppid)
	return err == nil && parentsErr == nil && seen(its, nil).RunsProgramOf(seen(parents, nil)) &&
		(p.trusts(parents) || usersOwn(parents) || podman.IsMemoryCopy(parents.Exe))
}

// trusts reports whether a program is believed to be what its processes are called: a file
// that is root's, that nobody else may write, on one of the host's own file systems. What
// was read of it, the kernel told without asking a file system that a user may have mounted.
//
// A program in another container's file system is not: what runs in a container of
// `podman run` is not ours.
func (p *programs) trusts(program proc.Program) bool {
	return program.Roots() && p.systems[[2]uint32{program.Major, program.Minor}]
}

// usersOwn reports whether a program may be a user's own, which nobody else may write.
func usersOwn(program proc.Program) bool { return program.Owned && program.Owner != 0 }

// runsItsOwn reports whether the process runs a program of its user's own, wherever that is, but
// in no container. What such a one is called and does says something about that user's
// processes, and nothing else is ended for it.
func runsItsOwn(h *proc.Handle, program proc.Program) bool {
	uids, err := h.UIDs()
	return err == nil && isItsOwn(program, uids) && h.SeesRootOf(selfPID)
}

// isItsOwn is runsItsOwn for a process whose UIDs are known, in no container.
func isItsOwn(program proc.Program, uids [4]uint32) bool {
	return usersOwn(program) && isOf(program.Owner, uids, false, 0)
}

// trustsProcess is trusts for a process, which may also run a program of its user's own, or a
// copy in memory of the program that its parent runs, as the same user.
func (p *programs) trustsProcess(h *proc.Handle, program proc.Program) bool {
	if p.trusts(program) || runsItsOwn(h, program) {
		return true
	}
	if !podman.IsMemoryCopy(program.Exe) {
		return false
	}
	parent, err := h.Parent()
	if err != nil {
		return false
	}
	defer parent.Close()
	original, err := parent.Program()
	uid, uidErr := h.UID()
	parents, parentsErr := parent.UID()
	return errors.Join(err, uidErr, parentsErr) == nil && isCopyOf(program, original, uid, parents) &&
		(p.trusts(original) || runsItsOwn(parent, original))
}

// isCopyOf reports whether a user runs a copy in memory of a program that the parent runs as
// the same user.
func isCopyOf(program, original proc.Program, uid, parents uint32) bool {
	return seen(program, nil).RunsProgramOf(seen(original, nil)) && uid == parents
}

// seen is a process as package podman judges it.
func seen(program proc.Program, args []string) podman.Process {
	return podman.Process{File: program.FileID, Exe: program.Exe, Size: program.Size, Args: args}
}

var errNotOurs = errors.New("a user namespace that is not below ours")

// namespaceOwner is the UID, as we see it, that made the user namespace of the
// process, or that made the one around it that lies directly below ours; false
// for a process in our own.
//
// Source: ioctl_ns(2), NS_GET_PARENT and NS_GET_OWNER_UID, Linux 4.9 and 4.11.
func namespaceOwner(pid int) (uid uint32, nested bool, err error) {
	own := proc.Namespace(unix.Getpid(), "user")
	if proc.Namespace(pid, "user") == own {
		return 0, false, nil
	}
	namespace, err := proc.OpenNamespace(pid, "user")
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = namespace.Close() }()
	var ours unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &ours); err != nil {
		return 0, false, err
	}
	const deepest = 32 // Source: user_namespaces(7)
	for range deepest {
		fd, err := unix.IoctlRetInt(int(namespace.Fd()), unix.NS_GET_PARENT)
		if err != nil {
			return 0, false, errors.Join(errNotOurs, err)
		}
		parent := os.NewFile(uintptr(fd), "user namespace")
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Ino == ours.Ino {
			_ = parent.Close()
			if err != nil {
				return 0, false, err
			}
			owner, err := unix.IoctlGetUint32(int(namespace.Fd()), unix.NS_GET_OWNER_UID)
			return owner, true, err
		}
		_ = namespace.Close()
		namespace = parent
	}
	return 0, false, errNotOurs
}
