package observe

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhatIsTrustedAsABuilder: a file that only root can have put there.
func TestWhatIsTrustedAsABuilder(t *testing.T) {
	const file = unix.S_IFREG
	p := &programs{systems: map[[2]uint32]bool{{8, 1}: true}}
	for _, test := range []struct {
		name string
		st   unix.Statx_t
		want bool
	}{
		{"installed", unix.Statx_t{Mode: file | 0o755, Dev_major: 8, Dev_minor: 1}, true},
		{"a user's own", unix.Statx_t{Mode: file | 0o755, Uid: 1000, Dev_major: 8, Dev_minor: 1}, false},
		{"a group may write it", unix.Statx_t{Mode: file | 0o775, Dev_major: 8, Dev_minor: 1}, false},
		{"everybody may write it", unix.Statx_t{Mode: file | 0o757, Dev_major: 8, Dev_minor: 1}, false},
		{"root's by the word of a user's file system", unix.Statx_t{Mode: file | 0o755, Dev_major: 0, Dev_minor: 77}, false},
		{"no file", unix.Statx_t{Mode: unix.S_IFDIR | 0o755, Dev_major: 8, Dev_minor: 1}, false},
	} {
		if got := p.trusted(test.st); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestBuildersAreKnownByTheirFile(t *testing.T) {
	for exe, want := range map[string]bool{
		"/usr/bin/podman": true, "/usr/local/bin/buildah": true, "/usr/bin/podman (deleted)": true,
		"/usr/bin/podman-remote": false, "/usr/bin/conmon": false, "": false, "/podman/x": false,
	} {
		if got := isBuilderName(exe); got != want {
			t.Errorf("%q: %v", exe, got)
		}
	}
}

// TestThisProgramIsNoBuilder, whatever it is called.
func TestThisProgramIsNoBuilder(t *testing.T) {
	p := &programs{systems: map[[2]uint32]bool{}}
	p.refresh()
	if _, ok := p.builder(selfPID); ok {
		t.Error("it is taken for one")
	}
	if _, ok := p.builder(1 << 22); ok {
		t.Error("a process that is not there is taken for one")
	}
}
