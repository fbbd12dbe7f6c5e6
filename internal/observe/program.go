package observe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share"
)

// programs knows which executables are builders.
type programs struct {
	systems   map[device]bool      // the file systems of the host's own, on which nobody hangs
	installed map[proc.FileID]bool // podman and buildah
	mounts    string               // the host's mount namespace
	others    others
	accounts  *proc.Accounts
}

func newPrograms(mounts string, reader *proc.Reader) *programs {
	p := &programs{mounts: mounts, systems: map[device]bool{}, others: others{places: share.NewPool(watched)}}
	if reader != nil {
		p.accounts = reader.Accounts
	}
	return p
}

// device is a file system.
type device struct{ major, minor uint32 }

// refresh learns the programs that are installed now, and the host's file systems, and this
// daemon's own: a file of an overlay can have another device than the directory that it
// is in, and what was installed later another one than what was there before.
//
// Source: linux, Documentation/filesystems/overlayfs.rst, "Inode properties".
func (p *programs) refresh() {
	p.systems, p.installed = map[device]bool{}, map[proc.FileID]bool{}
	p.others.doubt()
	if mounts, err := os.ReadFile("/proc/1/mountinfo"); err == nil {
		for _, of := range localFileSystems(string(mounts)) {
			p.systems[of] = true
		}
	}
	if own, err := proc.ProgramOf(unix.Getpid()); err == nil {
		p.systems[device{own.Major, own.Minor}] = true
	}
	for _, file := range append(podman.Programs(), podman.Directories()...) {
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, file, 0, unix.STATX_TYPE|unix.STATX_INO, &st); err == nil {
			p.systems[device{st.Dev_major, st.Dev_minor}] = true
			p.installed[proc.FileID{Major: st.Dev_major, Minor: st.Dev_minor, Inode: st.Ino}] = true
		}
	}
}

// builder reports whether the process runs a builder, and whether nobody tells when that is
// executed, to know how often to look.
func (p *programs) builder(pid int) (builds, unwatched bool) {
	exe := proc.Exe(pid)
	if !mayBuild(exe) {
		return false, false
	}
	program, err := proc.ProgramOf(pid)
	if err != nil {
		return false, false
	}
	if podman.HasPath(exe) {
		p.learn(pid, program)
	}
	return p.believes(pid, program)
}

// believes reports whether the program that the process runs is believed to be what it is called,
// and whether nobody tells when it is executed.
func (p *programs) believes(pid int, program proc.Program) (believed, unwatched bool) {
	believed = p.mayTrust(program, pid)
	return believed, believed && !p.systems[deviceOf(program)]
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
	program, err := proc.ProgramOf(ppid)
	if err != nil {
		return false, false
	}
	p.learn(ppid, program)
	return p.believes(ppid, program)
}

// learn has a program that builds, or may, watched from now on: the next step's
// start is told by the kernel then. A step that ends within the 30 s between two looks, or
// whose builder does, would not be seen otherwise. A file system that can make who asks
// it wait is not asked.
func (p *programs) learn(pid int, program proc.Program) {
	if p.installed[program.FileID] || p.others.has(program.FileID) || !p.systems[deviceOf(program)] { // what is there is believed
		return
	}
	uid, err := uidOf(pid)
	if err != nil {
		return
	}
	file, err := proc.OpenProgram(pid, program.FileID)
	if err != nil {
		return
	}
	defer file.Close()
	p.others.add(p.accounts.OfUID(uid), program.FileID, file)
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
		(podman.IsMemoryCopy(parents.Exe) || p.mayTrust(parents, ppid))
}

// trusts reports whether a program is believed to be what its processes are called. A user's
// may be any: whatever is held for it, and so ended, is that user's alone (belongs). Root's is
// a file on one of the host's own file systems, or runs in the host's mount namespace: what runs
// as root in a container of `podman run` is not ours, though it be in the host's PID namespace.
// What was read of it, the kernel told without asking a file system that a user may have mounted.
func (p *programs) trusts(program proc.Program, uid uint32, mounts string) bool {
	return uid != 0 || p.systems[deviceOf(program)] || mounts != "" && mounts == p.mounts
}

// mayTrust is trusts for a process whose user has yet to be asked for.
func (p *programs) mayTrust(program proc.Program, pid int) bool {
	if p.systems[deviceOf(program)] {
		return true
	}
	uid, err := uidOf(pid)
	return err == nil && p.trusts(program, uid, proc.Namespace(pid, "mnt"))
}

func uidOf(pid int) (uint32, error) {
	h, err := proc.Open(pid)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	return h.UID()
}

// trustsProcess is trusts for a process, which may also run a copy in memory of the
// program that its parent runs, as the same user.
func (p *programs) trustsProcess(h *proc.Handle, program proc.Program) bool {
	uid, err := h.UID()
	if err != nil {
		return false
	}
	if p.trusts(program, uid, proc.Namespace(h.PID, "mnt")) {
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
	parents, parentsErr := parent.UID()
	return errors.Join(err, parentsErr) == nil && p.trustsCopy(program, original, parents)
}

// trustsCopy reports whether a copy in memory that root runs is believed: of a program
// that is trusted, and that the parent runs as root, too.
func (p *programs) trustsCopy(program, original proc.Program, parents uint32) bool {
	return parents == 0 && p.systems[deviceOf(original)] && seen(program, nil).RunsProgramOf(seen(original, nil))
}

func deviceOf(program proc.Program) device { return device{program.Major, program.Minor} }

// local are the kinds of file systems that make nobody wait who asks them. An overlay is a
// container's, but for the host's own.
var local = []string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "tmpfs"}

// localFileSystems lists those that are mounted, by lines of proc_pid_mountinfo(5).
func localFileSystems(mounts string) (all []device) {
	for line := range strings.Lines(mounts) {
		where, what, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(where), strings.Fields(what)
		if !ok || len(fields) < 3 || len(kind) == 0 || !slices.Contains(local, kind[0]) {
			continue
		}
		var of device
		if n, _ := fmt.Sscanf(fields[2], "%d:%d", &of.major, &of.minor); n == 2 {
			all = append(all, of)
		}
	}
	return all
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
