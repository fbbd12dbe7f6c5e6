package reclaim

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// processes are those of the helper's user, all for root's, as they were at one moment.
type processes struct {
	// builders are when those that can make working containers were started, in
	// microseconds since the epoch.
	builders []int64
	// others are those of programs that may make directories as builders do.
	others []int64
	// used are the paths that processes have as root, as directory, open or mounted for a
	// step.
	used []string
}

// lookAtProcesses looks at those of the user.
func lookAtProcesses() (processes, error) {
	var found processes
	all, err := procfs.AllProcs()
	if err != nil {
		return found, err
	}
	uid := uint64(os.Geteuid())
	namespaces := map[string]bool{}
	for _, process := range all {
		status, err := process.NewStatus()
		if err != nil {
			continue // it has ended
		}
		exe, _ := process.Executable()
		builds, other := makes(process, exe)
		if status.UIDs[1] == uid && (builds || other) {
			if its, err := process.Stat(); err == nil {
				start, err := startedAt(its.Starttime)
				if err != nil {
					return found, err
				}
				found.others = append(found.others, start)
				if builds {
					found.builders = append(found.builders, start)
				}
			}
		}
		// Who serves a file system has its directories open, and uses nothing of it: it ends when that
		// is unmounted, and lives on after a builder that was killed. Who is in there is seen himself.
		if filepath.Base(exe) != podman.MountHelper {
			found.used = append(found.used, linksOf(process)...)
		}
		found.used = append(found.used, rootsIn(process, namespaces)...)
	}
	return found, nil
}

// linksOf are the paths at which a process is, or that it has open.
func linksOf(process procfs.Proc) (paths []string) {
	dir := filepath.Join("/proc", strconv.Itoa(process.PID))
	for _, name := range []string{"root", "cwd", "exe"} {
		if target, err := os.Readlink(filepath.Join(dir, name)); err == nil && target != "/" {
			paths = append(paths, target)
		}
	}
	targets, _ := process.FileDescriptorTargets()
	for _, target := range targets {
		if strings.HasPrefix(target, "/") {
			paths = append(paths, target)
		}
	}
	return paths
}

// rootsIn are the root of a process, where it is in a storage, and what a monitor has mounted
// for a step. Of each mount namespace one process is looked at.
func rootsIn(process procfs.Proc, namespaces map[string]bool) (paths []string) {
	dir := filepath.Join("/proc", strconv.Itoa(process.PID))
	namespace, err := os.Readlink(filepath.Join(dir, "ns", "mnt"))
	root, _ := os.Readlink(filepath.Join(dir, "root"))
	if key := namespace + root; err != nil || namespaces[key] {
		return nil
	} else {
		namespaces[key] = true
	}
	mounts, err := procfs.GetProcMounts(process.PID)
	if err != nil {
		return nil
	}
	for _, m := range mounts {
		if _, ok := podman.BundleOfRoot(m.MountPoint); ok {
			paths = append(paths, m.MountPoint)
		}
		if m.MountPoint == "/" {
			paths = append(paths, m.SuperOptions["upperdir"], m.Root)
		}
	}
	return paths
}

// makes reports whether a process can make working containers of its own accord, and whether it
// can make directories as builders do.
func makes(process procfs.Proc, exe string) (containers, temporaries bool) {
	args, err := process.CmdLine()
	if err != nil || len(args) == 0 {
		return false, false
	}
	for _, name := range []string{filepath.Base(exe), filepath.Base(args[0])} {
		if podman.IsBuilder(name) {
			return podman.MayMakeContainers(name, args), true
		}
		temporaries = temporaries || podman.MakesTemporaries(name)
	}
	return false, temporaries
}

// slack is for a clock that was set meanwhile, by a little: in doubt a builder was there.
const slack = 1_000_000 // µs

// builtAt reports whether a builder lives that was there at that moment.
func (p processes) builtAt(created int64) bool {
	return slices.ContainsFunc(p.builders, func(start int64) bool { return start-slack <= created })
}

// maker is builtAt for a directory: only a service makes those of requests.
func (p processes) maker(of Kind) func(created int64) bool {
	if of == KindRequest {
		return p.builtAt
	}
	return func(created int64) bool {
		return p.builtAt(created) || slices.ContainsFunc(p.others, func(start int64) bool { return start-slack <= created })
	}
}

// use reports whether a process uses something below a directory.
func (p processes) use(dir string) bool {
	return slices.ContainsFunc(p.used, func(path string) bool { return path == dir || strings.HasPrefix(path, dir+"/") })
}
