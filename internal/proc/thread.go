package proc

import (
	"bytes"
	"fmt"
	"iter"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxThreads is how many threads of a process are asked for what its first one does
// not say.
const maxThreads = 16

// Dirs yields the directory in /proc of the process that has the PID now, and then
// those of its other threads. A process whose first thread has ended works on in the
// others: /proc/PID then has no program, no namespaces and no mounts, while theirs
// have. Whoever looks for one of these takes the first directory that has it.
//
// Source: linux, fs/proc/base.c, proc_exe_link; fs/nsfs.c, ns_get_name; 6.1 and 6.18.
func Dirs(pid int) iter.Seq[string] {
	return func(yield func(string) bool) {
		dir := "/proc/" + strconv.Itoa(pid)
		if !yield(dir) {
			return
		}
		tasks, err := os.Open(dir + "/task")
		if err != nil {
			return
		}
		defer tasks.Close()
		names, _ := tasks.Readdirnames(maxThreads)
		for _, name := range names {
			if name != strconv.Itoa(pid) && !yield(dir+"/task/"+name) {
				return
			}
		}
	}
}

// liveDir is the first of these directories whose thread has not ended, if any.
func liveDir(pid int) string {
	for dir := range Dirs(pid) {
		stat, err := os.ReadFile(dir + "/stat")
		if end := bytes.LastIndexByte(stat, ')'); err == nil && end+2 < len(stat) && !bytes.ContainsAny(stat[end+2:end+3], "ZX") {
			return dir
		}
	}
	return "/proc/" + strconv.Itoa(pid)
}

// link reads a link of the process, or "". It asks no file system.
func link(pid int, name string) string {
	var target [unix.PathMax]byte
	for dir := range Dirs(pid) {
		if n, err := unix.Readlink(dir+"/"+name, target[:]); err == nil {
			return string(target[:n])
		}
	}
	return ""
}

// Exe is the path of the program that the process runs, as the kernel has it; ""
// where it can't be read.
func Exe(pid int) string { return link(pid, "exe") }

// Namespace returns the kernel's name for the namespace of a kind ("mnt", "uts",
// "pid") that the process, or thread, is in; "" where it can't be read.
func Namespace(pid int, kind string) string { return link(pid, "ns/"+kind) }

// OpenNamespace opens that namespace: a file of the kernel's own, which no user can
// make wait.
func OpenNamespace(pid int, kind string) (*os.File, error) {
	err := ErrGone
	for dir := range Dirs(pid) {
		var file *os.File
		if file, err = os.Open(dir + "/ns/" + kind); err == nil {
			return file, nil
		}
	}
	return nil, err
}

// ThreadGroup is the PID of the process that a thread belongs to.
func ThreadGroup(tid int) (int, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "Tgid:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("thread %d is of no process", tid)
}

// CgroupOfThread is CgroupOf for one thread of this very process: that of its others
// tells nothing of where it is, where its first one ended before a move.
func (h *Handle) CgroupOfThread(tid int) (string, error) {
	where, err := cgroupIn(fmt.Sprintf("/proc/%d/task/%d/cgroup", h.PID, tid))
	if !h.Alive() {
		return "", ErrGone
	}
	return where, err
}
