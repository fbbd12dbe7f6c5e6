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
	FeatureFusectl     FeatureName = "fusectl"
	FeatureWchan       FeatureName = "wchan"
	FeatureSyscall     FeatureName = "syscall"
	FeatureCPU         FeatureName = "controller_cpu"
	FeatureIO          FeatureName = "controller_io"
	FeatureMemory      FeatureName = "controller_memory"
	FeaturePids        FeatureName = "controller_pids"
	FeatureOOMPolicy   FeatureName = "scope_oom_policy"
)

// FeatureNames lists every feature: systemd's are the last.
func FeatureNames() []FeatureName {
	return []FeatureName{
		FeaturePidfd, FeaturePeerPidfd, FeatureOpenat2, FeatureCgroupKill, FeatureCgroupXattr,
		FeatureInotify, FeaturePidfdGetfd, FeatureFusectl, FeatureWchan, FeatureSyscall,
		FeatureCPU, FeatureIO, FeatureMemory, FeaturePids,
		FeatureOOMPolicy,
	}
}

// A Feature is what came of trying one.
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
