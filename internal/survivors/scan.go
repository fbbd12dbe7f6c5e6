package survivors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// process is a process of the host, as far as it matters for who serves and who
// uses a FUSE mount.
type process struct {
	procfs.Proc      // what is read: that of a thread, where the first one has ended
	PID          int // the process's own
	uids         [4]uint64
	namespace    string // its mount namespace, empty where it can't be read
	pidNamespace string
	state        string
	parent       int
	exiting      bool // killed, and on its way out: as the first process of a PID namespace that has survivors
}

// Flags of a process that has no memory of its own, and of one that ends.
//
// Source: linux, include/linux/sched.h, PF_KTHREAD and PF_EXITING;
// proc_pid_stat(5), flags.
const (
	kernelThread   = 0x200000
	exitingProcess = 0x4
)

// processes lists the host's, but for the kernel's own threads.
func (e *Examiner) processes() ([]process, error) {
	all, err := e.procs.AllProcs()
	if err != nil {
		return nil, err
	}
	found := make([]process, 0, len(all))
	for _, p := range all {
		stat, err := p.Stat()
		if err != nil || stat.Flags&kernelThread != 0 {
			continue
		}
		status, err := p.NewStatus()
		if err != nil {
			continue // it has ended
		}
		looked := process{
			Proc: p, PID: p.PID, uids: status.UIDs, state: stat.State, parent: stat.PPID, exiting: stat.Flags&exitingProcess != 0,
			namespace: proc.Namespace(p.PID, "mnt"), pidNamespace: proc.Namespace(p.PID, "pid"),
		}
		if stat.State == "Z" {
			e.lookThroughThreads(&looked)
		}
		found = append(found, looked)
	}
	return found, nil
}

// lookThroughThreads completes what is known of a process whose first thread has
// ended: of that one the kernel says that it has no files, no mounts and no program,
// and that it is on its way out, while the others use what they have.
func (e *Examiner) lookThroughThreads(p *process) {
	threads, err := e.procs.AllThreads(p.PID)
	if err != nil {
		return
	}
	for _, t := range threads[:min(len(threads), maxThreads)] {
		stat, err := t.Stat()
		if err != nil || stat.State == "Z" || stat.State == "X" {
			continue
		}
		if p.Proc.PID == p.PID {
			p.Proc, p.state, p.exiting = t, stat.State, stat.Flags&exitingProcess != 0
		}
		if stat.State == "D" {
			p.state = stat.State
		}
	}
}

// is reports whether all of the process's UIDs are this one.
func (p process) is(uid uint32) bool {
	return p.uids == [4]uint64{uint64(uid), uint64(uid), uint64(uid), uint64(uid)}
}

// may reports whether the kernel would let the process use a FUSE mount of the UID's
// that is for its mounter alone. It is more generous than the kernel.
//
// Source: linux, fs/fuse/dir.c, fuse_permissible_uidgid.
func (p process) may(uid uint32) bool { return slices.Contains(p.uids[:], uint64(uid)) }

func (p process) file(name string) string { return "/proc/" + strconv.Itoa(p.Proc.PID) + "/" + name }

// fuseDevice is the character device that FUSE servers read.
//
// Source: linux, Documentation/admin-guide/devices.txt.
var fuseDevice = unix.Mkdev(10, 229)

// holds returns the connections whose device the process has open. Older kernels do
// not tell which one it is (6.18 does): 0 then.
//
// Source: linux, fs/fuse/dev.c, fuse_dev_show_fdinfo.
func (p process) holds() []uint32 {
	entries, err := os.ReadDir(p.file("fd"))
	if err != nil {
		return nil
	}
	var numbers []uint32
	for _, entry := range entries {
		link := p.file("fd/" + entry.Name())
		target, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "/memfd:") || !isFuseDevice(link) {
			continue
		}
		number, _ := strconv.ParseUint(fdinfoField(p.file("fdinfo/"+entry.Name()), "fuse_connection"), 10, 32)
		numbers = append(numbers, uint32(number))
	}
	return numbers
}

// isFuseDevice asks for no attribute that a file system would have to be asked for:
// see proc.identify.
func isFuseDevice(link string) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, 0, &st)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && unix.Mkdev(st.Rdev_major, st.Rdev_minor) == fuseDevice
}

// helps reports whether the process serves the storage of the UID's: it is all theirs,
// and isHelper, which is process.isHelper but in tests.
func (p process) helps(uid uint32, isHelper func(process) bool) bool { return p.is(uid) && isHelper(p) }

// isHelper reports whether the process runs the host's fuse-overlayfs.
func (p process) isHelper() bool {
	exe, err := p.Executable()
	if err != nil || !podman.IsMountHelper(exe) {
		return false
	}
	var st unix.Statx_t
	err = unix.Statx(unix.AT_FDCWD, p.file("exe"), unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_BASIC_STATS, &st)
	return err == nil && isHelperFile(exe, st)
}

// isHelperFile reports whether a program is the host's fuse-overlayfs: a file that is
// root's and that nobody else may write.
func isHelperFile(exe string, st unix.Statx_t) bool {
	return podman.IsMountHelper(exe) && proc.IsRoots(st)
}

// scan is the host at one moment: its processes and the mount tables they see.
type scan struct {
	processes []process
	held      map[int][]uint32   // by PID: see process.holds
	tables    map[string][]mount // by mount namespace
	mountIDs  map[int]uint32     // which device a mount is of; IDs are the whole kernel's
}

func (e *Examiner) scan() (scan, error) {
	all, err := e.processes()
	if err != nil {
		return scan{}, err
	}
	s := scan{processes: all, held: map[int][]uint32{}, tables: map[string][]mount{}, mountIDs: map[int]uint32{}}
	for _, p := range all {
		if held := p.holds(); held != nil {
			s.held[p.PID] = held
		}
		if p.namespace == "" || s.tables[p.namespace] != nil {
			continue
		}
		infos, err := p.MountInfo()
		if err != nil {
			continue // another one of the namespace will do
		}
		table := mountsOf(infos)
		s.tables[p.namespace] = table
		for _, m := range table {
			s.mountIDs[m.id] = m.device
		}
	}
	return s, nil
}

// family is all that works for a build: its processes, its builders with all their
// children, and who waits for its processes: the monitor of a RUN step sees the mounts
// that it has prepared for the step.
func (s scan) family(left Remains) map[int]bool {
	parents, exiting := map[int]int{}, map[int]bool{}
	for _, p := range s.processes {
		parents[p.PID], exiting[p.PID] = p.parent, p.exiting
	}
	family := map[int]bool{}
	for _, p := range s.processes {
		for pid := p.PID; pid > 1 && !family[p.PID]; pid = parents[pid] {
			family[p.PID] = slices.Contains(left.Builders, pid)
		}
	}
	for _, pid := range left.PIDs {
		family[pid] = true
		for parent := parents[pid]; parent > 1; parent = parents[parent] {
			family[parent] = true
			if !exiting[parent] {
				break
			}
		}
	}
	return family
}

// copied reports whether a mount of the namespace is only a copy of one of a home
// namespace, and so nobody's use: one that has propagated from there, or that came
// along when a namespace was made as a copy of the other, as for a service with
// PrivateTmp=. A container's namespace has another root.
//
// Source: mount_namespaces(7).
func (s scan) copied(m mount, namespace string, home []string) bool {
	root := s.root(namespace)
	for _, from := range home {
		for _, original := range s.of(from, m.device) {
			if slices.ContainsFunc(m.peers, func(group string) bool { return slices.Contains(original.peers, group) }) {
				return true
			}
			if m.root == original.root && m.point == original.point && root.device != 0 && root.device == s.root(from).device {
				return true
			}
		}
	}
	return false
}

// root returns what is mounted as a namespace's root.
func (s scan) root(namespace string) mount {
	var root mount
	for _, m := range s.tables[namespace] {
		if m.point == "/" {
			root = m // a later one lies over an earlier one
		}
	}
	return root
}

// servers returns the processes that hold the connection's device, and those that
// may: which connection theirs is, this kernel does not say.
func (s scan) servers(number uint32) (sure, perhaps []process) {
	for _, p := range s.processes {
		held := s.held[p.PID]
		switch {
		case slices.Contains(held, number):
			sure = append(sure, p)
		case slices.Contains(held, 0):
			perhaps = append(perhaps, p)
		}
	}
	return sure, perhaps
}

// serverPIDs are the PIDs of all of them; none for 0, which is no connection.
func (s scan) serverPIDs(number uint32) []int {
	if number == 0 {
		return nil
	}
	var pids []int
	sure, perhaps := s.servers(number)
	for _, p := range slices.Concat(sure, perhaps) {
		pids = append(pids, p.PID)
	}
	return pids
}

// of returns a namespace's mounts of one file system.
func (s scan) of(namespace string, device uint32) []mount {
	var mounts []mount
	for _, m := range s.tables[namespace] {
		if m.device == device {
			mounts = append(mounts, m)
		}
	}
	return mounts
}

// user looks for a process that uses a FUSE mount and is not excused: one that has
// a file, a directory or a mapping on it, that may wait for it, or that sees it by
// a mount that was made for its namespace. It returns 0 where there is none.
//
// home are namespaces in which the mount may be seen: where it was made, and the
// build's.
func (e *Examiner) user(ctx context.Context, s scan, device uint32, mounter uint32, others bool, home []string, excused func(process) bool) (int, error) {
	for _, p := range s.processes {
		if excused(p) {
			continue
		}
		here := s.of(p.namespace, device)
		if !slices.Contains(home, p.namespace) && slices.ContainsFunc(here, func(m mount) bool { return !s.copied(m, p.namespace, home) }) {
			return p.PID, nil
		}
		if s.hasOpen(p, device) {
			return p.PID, nil
		}
		if len(here) == 0 || !others && !p.may(mounter) {
			continue
		}
		if p.state == "D" || s.isIn(p, here) {
			return p.PID, nil
		}
		limit, cancel := context.WithTimeout(ctx, lookTime)
		mapped, err := proc.Within(limit, e.reader, e.accountOf([]int{p.PID}), func() (bool, error) { return maps(p, device) })
		cancel()
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return p.PID, fmt.Errorf("the mappings of process %d: %w", p.PID, err)
		}
		if mapped {
			return p.PID, nil
		}
	}
	return 0, nil
}

// hasOpen reports whether any descriptor of the process is on the file system.
func (s scan) hasOpen(p process, device uint32) bool {
	entries, err := os.ReadDir(p.file("fdinfo"))
	if err != nil {
		return false
	}
	for _, entry := range entries {
		if on, ok := s.mountIDs[mountIDOf(p.file("fdinfo/"+entry.Name()))]; ok && on == device {
			return true
		}
	}
	return false
}

// isIn reports whether the process's directory, root or program is on one of the
// mounts.
func (s scan) isIn(p process, mounts []mount) bool {
	for _, link := range []func() (string, error){p.Cwd, p.RootDir, p.Executable} {
		where, err := link()
		if err == nil && slices.ContainsFunc(mounts, func(m mount) bool { return m.on(where) }) {
			return true
		}
	}
	return false
}

// maps reports whether the process has mapped a file of the file system. It is the one
// thing here that the process itself can hold back, by its mmap lock.
func maps(p process, device uint32) (bool, error) {
	all, err := p.ProcMaps()
	if err != nil {
		return false, err
	}
	want := unix.Mkdev(device>>20, device&(1<<20-1))
	return slices.ContainsFunc(all, func(m *procfs.ProcMap) bool { return m.Dev == want }), nil
}
