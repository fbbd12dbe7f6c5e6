package machine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A suite is a Debian release that a machine can be made of, and in what it
// differs from the others.
type suite struct {
	Name string
	// Packages are added to those of every suite.
	Packages []string
	// Runtime is podman's default OCI runtime, or "" for Debian's own choice.
	Runtime string
	// Script is the suite whose debootstrap script makes this one, or "" for its
	// own: a host's debootstrap does not know the releases that came after it.
	Script string `json:",omitempty"`
	// Pins are the packages that the tests are known to pass with, of a suite whose
	// packages change from week to week. See pins.go.
	Pins string `json:",omitempty"`
}

var suites = map[string]suite{
	"trixie": {
		Name:     "trixie",
		Packages: []string{"qemu-user", "qemu-user-binfmt"},
	},
	"bookworm": {
		Name:     "bookworm",
		Packages: []string{"qemu-user-static"},
		Runtime:  "runc",
	},
	"forky": {
		Name:     "forky",
		Packages: []string{"qemu-user", "qemu-user-binfmt"},
		Script:   "sid",
		Pins:     forkyPins,
	},
}

// packages are installed in every suite: systemd as a host has it, podman and
// buildah with both runtimes and all that a rootless build needs, what a podman
// machine is reached by, and what tests look at the machine with.
var packages = []string{
	"systemd", "systemd-sysv", "dbus", "dbus-user-session", "libpam-systemd",
	"podman", "buildah", "crun", "runc", "catatonit",
	"uidmap", "passt", "slirp4netns", "netavark", "aardvark-dns", "fuse-overlayfs",
	"nftables", "iptables", "iproute2", "procps", "kmod", "strace", "make", "ca-certificates",
	"openssh-server", "openssh-client", "sudo", "curl", "fuse3",
}

// Suites returns the names of the suites that a machine can be made of.
func Suites() []string { return slices.Sorted(maps.Keys(suites)) }

func findSuite(name string) (suite, error) {
	s, ok := suites[name]
	if !ok {
		return suite{}, fmt.Errorf("no suite %q: choose one of %s", name, strings.Join(Suites(), ", "))
	}
	return s, nil
}
