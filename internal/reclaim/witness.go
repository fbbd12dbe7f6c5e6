package reclaim

import (
	"errors"
	"path"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// Layer is the root file system of a step, in the storage that it belongs to.
type Layer struct {
	ID     string `json:"id"`     // 64 hexadecimal digits, at random
	Graph  string `json:"graph"`  // the storage's directory, such as /var/lib/containers/storage
	Driver string `json:"driver"` // overlay or vfs
}

// Witness is what a step was seen to use, by the mounts of its monitor.
type Witness struct {
	Layer  Layer
	Bundle string // /var/tmp/buildahN
}

var errNoWitness = errors.New("its monitor has nothing mounted for it")

// maxThreads is how many threads of a monitor are looked at.
const maxThreads = 128

// witnessBy is what the monitor with that PID has mounted for its step. The mount namespace is
// that of one of its threads, seldom of the first.
//
// Source: containers/buildah, run_common.go, runUsingRuntime: LockOSThread, and unshare(2) by
// bind.SetupIntermediateMountNamespace.
func witnessBy(pid int) (Witness, error) {
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return Witness{}, err
	}
	for _, thread := range threads[:min(len(threads), maxThreads)] {
		mounts, err := procfs.GetProcMounts(thread.PID)
		if err != nil {
			continue
		}
		if w, ok := witnessOf(mounts); ok {
			return w, nil
		}
	}
	return Witness{}, errNoWitness
}

// witnessOf finds what a step uses among the mounts of its monitor: the kernel's word. It
// reports false where that can't be told for certain.
func witnessOf(mounts []*procfs.MountInfo) (Witness, bool) {
	var root *procfs.MountInfo
	var w Witness
	for _, m := range mounts {
		if bundle, ok := podman.BundleOfRoot(m.MountPoint); ok {
			if root != nil && m.MountPoint != root.MountPoint {
				return Witness{}, false // a step within a step: whose is it?
			}
			root, w.Bundle = m, bundle
		}
	}
	if root == nil {
		return Witness{}, false
	}
	for _, candidate := range append(rootsOf(root, mounts), root.SuperOptions["upperdir"]) {
		if s, layer, ok := podman.LayerAt(candidate); ok {
			w.Layer = Layer{Graph: s.Graph, Driver: s.Driver, ID: layer}
		}
	}
	return w, w.Layer.ID != "" && w.Layer.valid() && cleanPath(w.Bundle)
}

// rootsOf are the other places at which the file system that root shows can be seen: where
// the storage driver has mounted it, or where the directory lies that it is.
func rootsOf(root *procfs.MountInfo, mounts []*procfs.MountInfo) (paths []string) {
	for _, m := range mounts {
		if m.MajorMinorVer != root.MajorMinorVer || m.MountPoint == root.MountPoint {
			continue
		}
		switch rest, below := strings.CutPrefix(root.Root, strings.TrimSuffix(m.Root, "/")); {
		case below && (rest == "" || rest == "/"):
			paths = append(paths, m.MountPoint)
		case below && rest[0] == '/':
			paths = append(paths, path.Join(m.MountPoint, rest))
		}
	}
	return paths
}

// valid reports whether a layer's ID and path may stand in a command line.
func (l Layer) valid() bool {
	return podman.IsLayer(l.ID) && cleanPath(l.Graph) && podman.Storage{Driver: l.Driver}.Known()
}

// maxPath is the length of the longest path that is kept.
const maxPath = 1024

// cleanPath reports whether a path is absolute and as short as it can be, and has nothing in
// it that a mount table writes otherwise.
func cleanPath(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && len(p) <= maxPath && !strings.ContainsAny(p, "\\\n\x00")
}
