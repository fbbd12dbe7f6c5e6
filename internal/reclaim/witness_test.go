package reclaim

import (
	"testing"

	"github.com/prometheus/procfs"
)

const graph = "/home/u/.local/share/containers/storage"

func TestAStepsMountsTellItsLayerAndItsBundle(t *testing.T) {
	layer := hex('c')
	native := &procfs.MountInfo{
		MountPoint: "/var/tmp/buildah42/mnt/rootfs", Root: "/", MajorMinorVer: "0:76", FSType: "overlay",
		SuperOptions: map[string]string{"lowerdir": graph + "/overlay/l/X", "upperdir": graph + "/overlay/" + layer + "/diff"},
	}
	fuse := &procfs.MountInfo{MountPoint: "/var/tmp/buildah42/mnt/rootfs", Root: "/", MajorMinorVer: "0:77", FSType: "fuse.fuse-overlayfs"}
	vfs := &procfs.MountInfo{MountPoint: "/var/tmp/buildah42/mnt/rootfs", Root: "/lib/containers/storage/vfs/dir/" + layer, MajorMinorVer: "8:1"}
	merged := func(version string) *procfs.MountInfo {
		return &procfs.MountInfo{MountPoint: graph + "/overlay/" + layer + "/merged", Root: "/", MajorMinorVer: version}
	}
	for name, row := range map[string]struct {
		mounts []*procfs.MountInfo
		want   Layer
	}{
		"overlay":                 {[]*procfs.MountInfo{native}, Layer{layer, graph, "overlay"}},
		"fuse-overlayfs":          {[]*procfs.MountInfo{merged("0:9"), merged("0:77"), fuse}, Layer{layer, graph, "overlay"}},
		"vfs":                     {[]*procfs.MountInfo{{MountPoint: "/var", Root: "/", MajorMinorVer: "8:1"}, vfs}, Layer{layer, "/var/lib/containers/storage", "vfs"}},
		"vfs below a bind mount":  {[]*procfs.MountInfo{{MountPoint: "/var/lib", Root: "/lib", MajorMinorVer: "8:1"}, vfs}, Layer{layer, "/var/lib/containers/storage", "vfs"}},
		"its storage is not seen": {[]*procfs.MountInfo{fuse}, Layer{}},
		"no step":                 {[]*procfs.MountInfo{merged("0:77")}, Layer{}},
		"a step within a step":    {[]*procfs.MountInfo{native, {MountPoint: "/var/tmp/buildah43/mnt/rootfs"}}, Layer{}},
	} {
		w, ok := witnessOf(row.mounts)
		if ok != (row.want != Layer{}) || ok && (w.Layer != row.want || w.Bundle != "/var/tmp/buildah42") {
			t.Errorf("%s: %+v, %v", name, w, ok)
		}
	}
}

func TestWhatIsNoPathIsNoWitness(t *testing.T) {
	for _, bundle := range []string{"/var/tmp/../etc/buildah1", `/var/tmp/a\040b/buildah1`, "buildah1", "/var/tmp/x\n/buildah1"} {
		m := &procfs.MountInfo{
			MountPoint: bundle + "/mnt/rootfs", Root: "/", FSType: "overlay",
			SuperOptions: map[string]string{"upperdir": graph + "/overlay/" + hex('c') + "/diff"},
		}
		if w, ok := witnessOf([]*procfs.MountInfo{m}); ok {
			t.Errorf("%q: %+v", bundle, w)
		}
	}
}
