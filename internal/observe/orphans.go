package observe

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// stepName is the name of the step that a process seems to belong to, or "". root is
// the line of mountinfo on its root, for a process that could be a chroot's. Anybody can
// make such names. They only lead to processes that are shown, and ended when their user
// says so.
func stepName(cgroup, root string) string {
	if _, container, ok := podman.StepCgroup(cgroup); ok {
		return container
	}
	if layer := podman.StepLayer(root); layer != "" && !podman.IsPodmanContainer(cgroup) {
		return "layer " + layer
	}
	return ""
}

// lookForOrphans is look, and a search for processes of steps whose monitor
// nobody saw: adopted by systemd, and in a place that only builds use.
func (f *Follower) lookForOrphans() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.programs.refresh()
	before := readBirths()
	all := f.lookLocked()
	f.calm = newCalm(before, all)
	if len(all) > 0 { // /proc could be read
		f.swept.Store(time.Now().UnixMilli())
	}
	known := map[proc.Identity]bool{}
	for _, s := range f.steps {
		s.mu.Lock()
		for _, h := range s.held {
			known[h.Identity] = true
		}
		s.mu.Unlock()
	}
	for _, s := range f.lost {
		for _, h := range s.held {
			known[h.Identity] = true
		}
	}
	reaper := proc.Exe(1)
	found := false
	for _, e := range all {
		if known[e.Identity] {
			continue
		}
		name := f.orphaned(e, reaper)
		if name == "" {
			continue
		}
		found = f.orphan(e, name) || found
	}
	if found {
		all, err := f.scan()
		if err != nil {
			return
		}
		v := all.view()
		for _, s := range f.lost {
			s.follow(v)
			if s.firstSeen() {
				f.fresh = append(f.fresh, s)
			}
		}
	}
}

// orphan takes hold of one process of a step that nobody saw alive.
func (f *Follower) orphan(e entry, name string) bool {
	h, err := proc.Find(e.Identity)
	if err != nil {
		return false
	}
	uid, nested, err := namespaceOwner(h.PID)
	if err == nil && !nested {
		uid, err = h.UID()
	}
	if err != nil || !h.Alive() {
		h.Close()
		return false
	}
	key := strconv.FormatUint(uint64(uid), 10) + " " + name
	s := f.lost[key]
	if s == nil {
		s = &Step{UID: uid, follower: f, chroot: true, outside: f.host}
		f.lost[key] = s
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold(h, map[proc.Identity]bool{})
	return true
}

// rootMount is the first line of /proc/PID/mountinfo, which asks no file system.
func rootMount(pid int) string {
	for dir := range proc.Dirs(pid) {
		file, err := os.Open(dir + "/mountinfo")
		if err != nil { // its first thread has ended
			continue
		}
		defer file.Close()
		var start [4096]byte
		n, _ := file.Read(start[:])
		line, _, _ := strings.Cut(string(start[:n]), "\n")
		return line
	}
	return ""
}
