package observe

import "testing"

func TestOnlyAStepsOwnPlaceLooksLikeOne(t *testing.T) {
	for _, test := range []struct{ cgroup, root, want string }{
		{"/system.slice/crun-buildah-buildah12.scope/container", "/", "buildah-buildah12"},
		{"/system.slice/runc-buildah-buildah12.scope", "/", "buildah-buildah12"},
		{"/buildah-buildah12", "/", "buildah-buildah12"},
		{"/user.slice/user-1000.slice/user@1000.service/app.slice/buildah-buildah12", "/", "buildah-buildah12"},
		{"/user.slice/session-1.scope", "/var/tmp/buildah12/mnt/rootfs", "buildah-buildah12"},

		{"/system.slice/libpod-0123456789abcdef.scope/container", "/", ""}, // podman run --name buildah-buildah1
		{"/buildah-buildah7/libpod-0123456789abcdef", "/", ""},             // podman run --cgroup-parent
		{"/system.slice/buildah-buildah7.slice/libpod-0123456789abcdef.scope/container", "/", ""},
		{"/buildah-buildah7/below", "/", ""},
		{"/buildah-buildah", "/", ""},
		{"/buildah-buildah7x", "/", ""},
		{"/my-buildah-buildah7", "/", ""},
		{"/", "/var/tmp/buildah12/mnt/rootfs/below", ""},
		{"", "", ""},
	} {
		if got := stepName(test.cgroup, test.root); got != test.want {
			t.Errorf("%q, %q: %q, want %q", test.cgroup, test.root, got, test.want)
		}
	}
}
