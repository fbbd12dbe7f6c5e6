package observe

import (
	"strings"
	"testing"
)

var layer = "1348 1141 0:111 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/containers/storage/overlay/l/KLYN," +
	"upperdir=/var/lib/containers/storage/overlay/" + strings.Repeat("a1", 32) + "/diff,workdir=/x"

func TestOnlyAStepsOwnPlaceLooksLikeOne(t *testing.T) {
	for _, test := range []struct{ cgroup, root, want string }{
		{"/system.slice/crun-buildah-buildah12.scope/container", "/", "buildah-buildah12"},
		{"/system.slice/runc-buildah-buildah12.scope", "/", "buildah-buildah12"},
		{"/buildah-buildah12", "/", "buildah-buildah12"},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/buildah-buildah12", "/", "buildah-buildah12"},
		{"/user.slice/session-1.scope", layer, "layer " + strings.Repeat("a1", 32)},

		{"/system.slice/libpod-0123456789abcdef.scope/container", "/", ""}, // podman run --name buildah-buildah1
		{"/buildah-buildah7/libpod-0123456789abcdef", "/", ""},             // podman run --cgroup-parent
		{"/system.slice/buildah-buildah7.slice/libpod-0123456789abcdef.scope/container", "/", ""},
		{"/buildah-buildah7/below", "/", ""},
		{"/buildah-buildah", "/", ""},
		{"/buildah-buildah7x", "/", ""},
		{"/my-buildah-buildah7", "/", ""},
		{"/system.slice/libpod-0123456789abcdef.scope/container", layer, ""}, // podman run --pid=host
		{"/", strings.Replace(layer, " / / ", " / /mnt ", 1), ""},
		{"/", strings.Replace(layer, "/diff", "/other", 1), ""},
		{"/", strings.Replace(layer, "overlay overlay", "ext4 /dev/sda", 1), ""},
		{"", "", ""},
	} {
		if got := stepName(test.cgroup, test.root); got != test.want {
			t.Errorf("%q, %q: %q, want %q", test.cgroup, test.root, got, test.want)
		}
	}
}

// TestCgroupOfAContainerIsItsOwn by the number of its bundle, and no other is.
func TestCgroupOfAContainerIsItsOwn(t *testing.T) {
	for _, test := range []struct{ where, bundle, want string }{
		{"/buildah-buildah12", "buildah12", "/buildah-buildah12"},
		{"/system.slice/runc-buildah-buildah12.scope", "buildah12", "/system.slice/runc-buildah-buildah12.scope"},
		{"/system.slice/crun-buildah-buildah12.scope/container", "buildah12", "/system.slice/crun-buildah-buildah12.scope"},
		{"/buildah-buildah12", "", "/buildah-buildah12"}, // by its name only

		{"/buildah-buildah12", "buildah13", ""},
		{"/buildah-buildah12/below", "buildah12", ""},
		{"/mine", "mine", ""}, // --cgroup-parent mine
		{"/", "", ""},
		{"", "", ""},
		{"/system.slice/podman.service", "buildah12", ""},
	} {
		if got, ok := ownCgroup(test.where, test.bundle); got != test.want || ok != (test.want != "") {
			t.Errorf("%q, %q: %q, %v", test.where, test.bundle, got, ok)
		}
	}
}
