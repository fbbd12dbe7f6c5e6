package wrapper

import (
	"slices"
	"strings"
	"testing"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// The calls are podman 5.4.2's and buildah's, as they were seen.
func TestParseCreate(t *testing.T) {
	for _, test := range []struct {
		name, args, placed, bundle string
	}{
		{
			"local, systemd manager",
			"--systemd-cgroup create --bundle /var/tmp/buildah1 --pid-file /var/tmp/buildah1/pid --no-new-keyring buildah-buildah1",
			"create --bundle /var/tmp/buildah1 --pid-file /var/tmp/buildah1/pid --no-new-keyring buildah-buildah1",
			"/var/tmp/buildah1",
		},
		{
			"API, cgroupfs manager",
			"create --bundle /var/tmp/buildah1 --pid-file /p --console-socket /s buildah-buildah1",
			"create --bundle /var/tmp/buildah1 --pid-file /p --console-socket /s buildah-buildah1",
			"/var/tmp/buildah1",
		},
		{
			"values joined to their flags",
			"--root=/run/crun --systemd-cgroup create --bundle=/b --pid-file=/p buildah-buildah1",
			"--root=/run/crun create --bundle=/b --pid-file=/p buildah-buildah1",
			"/b",
		},
		{
			"a value that looks like the flag that is left out",
			"create --bundle /b --pid-file --systemd-cgroup buildah-buildah1",
			"create --bundle /b --pid-file --systemd-cgroup buildah-buildah1",
			"/b",
		},
	} {
		c, ok := parseCreate(strings.Fields(test.args))
		if !ok || c.bundle != test.bundle || c.container != "buildah-buildah1" || !slices.Equal(c.placed, strings.Fields(test.placed)) {
			t.Errorf("%s: %+v, %v", test.name, c, ok)
		}
	}
}

func TestParseCreateLeavesEverythingElseAlone(t *testing.T) {
	for _, args := range []string{
		"",
		"--version",
		"state buildah-buildah1",
		"start buildah-buildah1",
		"delete --force buildah-buildah1",
		"create",
		"create buildah-buildah1",
		"create --bundle",
		"create --bundle relative buildah-buildah1",
		"create --bundle /b",
		"create --bundle /b buildah-buildah1 another",
		"create --bundle /b --unheard-of buildah-buildah1",
		"create --bundle /b --no-pivot=true buildah-buildah1",
		"--cgroup-manager disabled create --bundle /b buildah-buildah1",
		// podman run's
		"--systemd-cgroup create --bundle /c/userdata --pid-file /p 4d5f7d1c3a6fbb0a4d5f7d1c3a6fbb0a4d5f7d1c3a6fbb0a4d5f7d1c3a6fbb0a",
		"run --bundle /b buildah-buildah1",
	} {
		if c, ok := parseCreate(strings.Fields(args)); ok {
			t.Errorf("%q was taken for a build's: %+v", args, c)
		}
	}
}

func FuzzParseCreate(f *testing.F) {
	f.Add("--systemd-cgroup\x00create\x00--bundle\x00/b\x00buildah-buildah1")
	f.Add("create\x00-b\x00/b\x00buildah-buildah1\x00--")
	f.Fuzz(func(t *testing.T, joined string) {
		args := strings.Split(joined, "\x00")
		c, ok := parseCreate(args)
		if !ok {
			return
		}
		// What is passed on are the caller's arguments in their order; only the
		// one flag may be missing.
		rest := args
		for _, arg := range c.placed {
			i := slices.Index(rest, arg)
			if i < 0 {
				t.Fatalf("%q came from nowhere in %q", arg, args)
			}
			for _, skipped := range rest[:i] {
				if skipped != podman.SystemdCgroup {
					t.Fatalf("%q was lost of %q", skipped, args)
				}
			}
			rest = rest[i+1:]
		}
		for _, skipped := range rest {
			if skipped != podman.SystemdCgroup {
				t.Fatalf("%q was lost of %q", skipped, args)
			}
		}
	})
}
