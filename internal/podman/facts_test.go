package podman

import (
	"path"
	"strings"
	"testing"
)

func TestRequestsDirectoryIsKnownByItsName(t *testing.T) {
	for path, want := range map[string]bool{
		"/var/tmp/libpod_builder1234": true, "/tmp/libpod_builder1": true,
		"/var/tmp/libpod_builder": false, "/var/tmp/libpod_builder12x": false, "/var/tmp/libpod_builder1/build": false,
		"/var/tmp/libpod_builder123456789012345678901": false, "": false,
	} {
		if got := IsRequest(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	for context, want := range map[string]string{
		"/var/tmp/libpod_builder12/build": "/var/tmp/libpod_builder12", "/var/tmp/libpod_builder12/other": "", "/home/x/build": "",
	} {
		if dir, ok := RequestOf(context); ok != (want != "") || ok && dir != want {
			t.Errorf("%q: %q, %v", context, dir, ok)
		}
	}
}

func TestDirectoriesOfABuilderAreKnownByTheirNames(t *testing.T) {
	for path, want := range map[string][2]bool{ // a bundle, another
		"/var/tmp/buildah1234": {true, false}, "/var/tmp/container_images_storage1": {false, true}, "/tmp/buildah-context-77": {false, true},
		"/tmp/.buildah-ssh-sock5": {false, true}, "/var/tmp/buildah-external-artifacts8": {false, true}, "/var/tmp/buildah-cache-0": {}, "/var/tmp/buildah-context-": {}, "/var/tmp/buildah": {},
		"/var/tmp/container_images_storage1/blob": {}, "/var/tmp/buildah12x": {}, "": {},
	} {
		if got := [2]bool{IsBundle(path), IsBuilderTemporary(path)}; got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

func TestFilesOfABuilderAreKnownByTheirNames(t *testing.T) {
	for path, want := range map[string][2]bool{ // that nobody may write, and that its owner may
		"/dev/shm/buildah1234": {true, false}, "/var/tmp/buildahheredoc7": {true, true}, "/var/tmp/container_images_5": {true, true},
		"/var/tmp/buildah-archive-1": {true, true}, "/var/tmp/buildah": {}, "/var/tmp/buildah7.log": {}, "/var/tmp/container_images_": {}, "": {},
	} {
		if got := [2]bool{IsBuilderFile(path, 0o400), IsBuilderFile(path, 0o600)}; got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}

// TestContainersOfAUserAreBesideTheScopeOfPodman: whose limits would hold for them.
func TestContainersOfAUserAreBesideTheScopeOfPodman(t *testing.T) {
	const manager = "/user.slice/user-1000.slice/user@1000.service"
	for _, test := range []struct{ builder, command, want string }{
		{manager + "/user.slice/podman-12.scope", "podman build", manager + "/app.slice"},
		{manager + "/app.slice/podman.service", "podman system service", manager + "/app.slice"},
		{manager + "/app.slice/job.service", "buildah build", manager + "/app.slice/job.service"},
		{"/system.slice/ci.service", "podman build", "/system.slice/ci.service"},
		{"/user.slice/user-1001.slice/user@1001.service/x.scope", "podman build", "/user.slice/user-1001.slice/user@1001.service/x.scope"},
	} {
		if got := BesideCgroup(test.builder, test.command, 1000); got != test.want {
			t.Errorf("BesideCgroup(%q, %q) = %q; want %q", test.builder, test.command, got, test.want)
		}
	}
}

func TestMountHelperIsKnownByItsFile(t *testing.T) {
	for exe, want := range map[string]bool{
		"/usr/bin/fuse-overlayfs": true, "/usr/bin/fuse-overlayfs (deleted)": true, "/usr/bin/sshfs": false, "/": false, "": false,
	} {
		if got := IsMountHelper(exe); got != want {
			t.Errorf("%q: %v", exe, got)
		}
	}
}

func TestEachRuntimeHasItsOwnPaths(t *testing.T) {
	paths := RuntimePaths()
	for _, name := range Runtimes() {
		for _, path := range paths[name] {
			if path[len(path)-len(name)-1:] != "/"+name {
				t.Errorf("%s at %s", name, path)
			}
		}
		if len(paths[name]) < 5 {
			t.Errorf("%s: %q", name, paths[name])
		}
	}
}

func TestLayerIsKnownByItsDirectory(t *testing.T) {
	id := strings.Repeat("0a", 32)
	for dir, want := range map[string]Storage{
		"/var/lib/containers/storage/overlay/" + id + "/diff":  {"/var/lib/containers/storage", "overlay"},
		"/var/lib/containers/storage/overlay/" + id + "/diff1": {"/var/lib/containers/storage", "overlay"},
		"/home/x/storage/overlay/" + id + "/merged":            {"/home/x/storage", "overlay"},
		"/home/x/storage/vfs/dir/" + id:                        {"/home/x/storage", "vfs"},
		"/home/x/storage/overlay/" + id:                        {},
		"/home/x/storage/overlay/" + id + "/differs":           {},
		"/home/x/storage/overlay/" + id + "/work":              {},
		"/home/x/storage/overlay/" + id[1:] + "/diff":          {},
		"/home/x/storage/overlay/" + id[1:] + "A/diff":         {},
		"/home/x/storage/btrfs/" + id + "/diff":                {},
		"/home/x/storage/vfs/dir/" + id[1:]:                    {},
		"storage/overlay/" + id + "/diff":                      {},
		"":                                                     {}, "/": {},
	} {
		s, layer, ok := LayerAt(dir)
		if s != want || ok != (want != Storage{}) || ok && layer != id {
			t.Errorf("%s: %v, %q, %v", dir, s, layer, ok)
		}
		if ok && s.LayerFiles(layer) != dir && path.Dir(s.LayerFiles(layer)) != path.Dir(dir) {
			t.Errorf("%s: its files are in %s", dir, s.LayerFiles(layer))
		}
	}
}

func TestBundleIsKnownByTheRootThatIsMounted(t *testing.T) {
	for point, want := range map[string]string{
		"/var/tmp/buildah123/mnt/rootfs": "/var/tmp/buildah123", "/tmp/x/buildah1/mnt/rootfs": "/tmp/x/buildah1",
		"/buildah1/mnt/rootfs": "", "/tmp/buildah/mnt/rootfs": "", "/tmp/buildah1/mnt/rootfs/x": "", "buildah1/mnt/rootfs": "", "": "",
	} {
		if bundle, ok := BundleOfRoot(point); ok != (want != "") || ok && bundle != want {
			t.Errorf("%q: %q, %v", point, bundle, ok)
		}
	}
}

func TestWhereABuilderMounts(t *testing.T) {
	for mount, want := range map[string]bool{
		"/var/tmp/buildah7/mounts89/bind1": true, "/var/tmp/buildah7/overlay/12/merge": true,
		"/var/tmp/buildah7": false, "/var/tmp/buildah7/mounts89": false, "/var/tmp/buildah7/mountsx/bind1": false, "/var/tmp/buildah7/mnt/rootfs": false,
		"/var/tmp/buildah77/mounts89/bind1": false, "/var/tmp/buildah7/x/mounts89/bind1": false, "/": false,
	} {
		if IsBuilderMount("/var/tmp/buildah7", mount) != want {
			t.Errorf("%s: %v", mount, !want)
		}
	}
}

func TestWhereATransientStoreListsContainers(t *testing.T) {
	for uid, want := range map[int]string{
		0:    "/run/containers/storage/overlay-containers/volatile-containers.json",
		1000: "/run/user/1000/containers/overlay-containers/volatile-containers.json",
	} {
		if got := (Storage{"/srv/storage", "overlay"}).TransientList(uid); got != want {
			t.Errorf("UID %d: %s", uid, got)
		}
	}
}
