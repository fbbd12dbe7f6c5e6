package cli

import (
	"fmt"
	"strings"

	"github.com/buildwatch/buildwatch/api"
)

// featureWords says of each feature what people call it, and what is otherwise
// without it.
var featureWords = map[api.FeatureName]struct{ name, without string }{
	api.FeaturePidfd:       {"pidfd_open", "buildwatchd can't hold a process, and does not run"},
	api.FeaturePeerPidfd:   {"SO_PEERPIDFD", "who asks is looked up by its PID, and checked once more after each wait"},
	api.FeatureOpenat2:     {"openat2", "no cgroup can be opened: builds go unsupervised"},
	api.FeatureCgroupKill:  {"cgroup.kill", "the ladder has a rung less"},
	api.FeatureCgroupXattr: {"xattrs of cgroups", "after a restart builds are not known again"},
	api.FeatureInotify:     {"inotify", "builds round the wrapper, and the ends of requests, are noticed by looking every so often"},
	api.FeaturePidfdGetfd:  {"pidfd_getfd", "of an API service's connections it is seen only which the service has closed"},
	api.FeatureFusectl:     {"fusectl", "processes that wait for a FUSE server that does not answer are not freed"},
	api.FeatureWchan:       {"/proc/PID/wchan", "what survives SIGKILL is shown without what it waits in"},
	api.FeatureMemoryOf:    {"/proc/PID/mem", "several API builds of one service at once can't be told apart"},
	api.FeatureSyscall:     {"/proc/PID/syscall", "no build is known to be stalled, nor which connection an API build came by"},
	api.FeatureCPU:         {"cpu controller", "CPUWeight and CPUQuota have no effect"},
	api.FeatureIO:          {"io controller", "IOWeight has no effect"},
	api.FeatureMemory:      {"memory controller", "MemoryMax and MemoryHigh have no effect"},
	api.FeaturePids:        {"pids controller", "TasksMax has no effect"},
	api.FeatureOOMPolicy:   {"OOMPolicy of scopes", "a step that runs out of memory ends the build's other steps too"},
}

// describeHost tells what the daemon has found on its host, a line for each thing
// that is missing.
func describeHost(h *api.Host) []string {
	if h == nil {
		return nil
	}
	words := []string{"kernel        " + quote(h.Kernel)}
	if h.Systemd != "" {
		words = append(words, "systemd       "+quote(h.Systemd))
	} else {
		words = append(words, "systemd       does not answer")
	}
	var used, missing []string
	for _, f := range h.Features {
		known, ok := featureWords[f.Name]
		switch {
		case !ok: // a later daemon's
		case f.Found:
			used = append(used, known.name)
		default:
			missing = append(missing, fmt.Sprintf("missing       %s: %s (%s)", known.name, known.without, oneLine(f.Error)))
		}
	}
	if len(used) > 0 {
		words = append(words, "used          "+strings.Join(used, ", "))
	}
	return append(words, missing...)
}
