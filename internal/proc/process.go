package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// Process is what can be seen of a process without holding it. It may be
// another's by the time it is used: it is for showing, never for acting.
type Process struct {
	PID   int
	PPID  int
	Comm  string
	State string // one letter, see proc_pid_stat(5)
	Exe   string // empty where it can't be read
	Arch  string // emulated architecture, see EmulatedArch
	By    string // the emulator, see Emulation
	WChan string // kernel function that it sleeps in; empty where it can't be read
}

// Look reads what can be seen of the process that has the PID now. It reads
// only what the kernel answers without the process's memory.
func Look(pid int) (Process, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return Process{}, ErrGone
	}
	stat, err := p.Stat()
	if err != nil {
		return Process{}, errors.Join(ErrGone, err)
	}
	look := Process{PID: pid, PPID: stat.PPID, Comm: stat.Comm, State: stat.State}
	look.Exe = Exe(pid)
	look.By, look.Arch = Emulation(look.Exe)
	if wchan, err := p.Wchan(); err == nil && wchan != "0" {
		look.WChan = wchan
	}
	return look, nil
}

// Arch returns only the emulated architecture of the process, see EmulatedArch.
func Arch(pid int) string { return EmulatedArch(Exe(pid)) }

// ForkedNoExec is the flag of a process that has not called execve(2) since it
// was forked.
//
// Source: linux, include/linux/sched.h, PF_FORKNOEXEC; proc_pid_stat(5), flags.
const ForkedNoExec = 0x40

// HasExeced reports whether the process that has the PID now runs a program of its
// own, and not its parent's. In doubt, as for one that ended, it does.
func HasExeced(pid int) bool {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return true
	}
	stat, err := p.Stat()
	return err != nil || stat.Flags&ForkedNoExec == 0
}

// Cgroup is CgroupOf, with "" where it can't be read.
func Cgroup(pid int) string {
	where, _ := CgroupOf(pid)
	return where
}

// CgroupOf reads which cgroup of the unified hierarchy the process that has the PID
// now is in, below the mount and with a leading slash.
func CgroupOf(pid int) (string, error) {
	return cgroupIn("/proc/" + strconv.Itoa(pid) + "/cgroup")
}

func cgroupIn(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(content)) {
		if where, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return where, nil
		}
	}
	return "", fmt.Errorf("%s names no cgroup of the unified hierarchy", file)
}
