package api

// FeatureName names something of the kernel's or of systemd's that buildwatch uses.
type FeatureName string

// The features known to this version. A client passes over those that it does not
// know.
const (
	FeaturePidfd       FeatureName = "pidfd"
	FeaturePeerPidfd   FeatureName = "peer_pidfd"
	FeatureOpenat2     FeatureName = "openat2"
	FeatureCgroupKill  FeatureName = "cgroup_kill"
	FeatureCgroupXattr FeatureName = "cgroup_xattr"
	FeatureInotify     FeatureName = "inotify"
	FeaturePidfdGetfd  FeatureName = "pidfd_getfd"
	FeatureMemoryOf    FeatureName = "process_memory"
	FeatureFusectl     FeatureName = "fusectl"
	FeatureWchan       FeatureName = "wchan"
	FeatureSyscall     FeatureName = "syscall"
	FeatureCPU         FeatureName = "controller_cpu"
	FeatureIO          FeatureName = "controller_io"
	FeatureMemory      FeatureName = "controller_memory"
	FeaturePids        FeatureName = "controller_pids"
	FeatureOOMPolicy   FeatureName = "scope_oom_policy"
)

var features = meanings[FeatureName]{
	{FeaturePidfd, "to hold processes: Linux 5.10 has it, and buildwatchd does not run without"},
	{FeaturePeerPidfd, "to know who asks (SO_PEERPIDFD, Linux 6.5)"},
	{FeatureOpenat2, "to open cgroups without being led astray"},
	{FeatureCgroupKill, "the rung cgroup_kill of the ladder"},
	{FeatureCgroupXattr, "the record of a build, for the next daemon"},
	{FeatureInotify, "to notice builds that do not come through the wrapper, and the ends of API requests"},
	{FeaturePidfdGetfd, "whether the client of an API build is still connected"},
	{FeatureMemoryOf, "which request and which connection a step of an API build belongs to"},
	{FeatureFusectl, "to free processes that wait for a FUSE server that does not answer"},
	{FeatureWchan, "what threads wait in: stalled builds, and what survives SIGKILL"},
	{FeatureSyscall, "the same, with the arguments of their system calls; which connection an API build came by"},
	{FeatureCPU, "limits of builds: CPU time"},
	{FeatureIO, "limits of builds: I/O"},
	{FeatureMemory, "limits of builds: memory"},
	{FeaturePids, "limits of builds: processes"},
	{FeatureOOMPolicy, "that running out of memory ends a step, and not its neighbours"},
}

// FeatureNames lists every feature: systemd's are the last.
func FeatureNames() []FeatureName { return features.words() }

// Meaning says for people what the feature is used for.
func (n FeatureName) Meaning() string { return features.of(n) }

// Feature is one of the things that buildwatch uses, and whether it was found by trying it.
type Feature struct {
	Name  FeatureName `json:"name"`
	Found bool        `json:"found"`
	Error string      `json:"error,omitempty"` // what the try said, if it is not found
}

// Host is what the daemon has found of the kernel and of systemd.
type Host struct {
	Kernel   string    `json:"kernel"`            // its release, for people: nothing is concluded from it
	Systemd  string    `json:"systemd,omitempty"` // its version, likewise; not there if systemd did not answer
	Features []Feature `json:"features"`
}
