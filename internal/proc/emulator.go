package proc

import (
	"path"
	"strings"
)

// rosetta is where a podman machine mounts Apple's translator, which runs
// x86_64 programs on arm64.
//
// Source: containers/podman-machine-os, rosetta-activation.sh.
const rosetta = "/mnt/rosetta"

// EmulatedArch returns the architecture that the program at exe emulates, as
// qemu names it ("aarch64", "x86_64"), or "" for any other program. exe is the
// target of /proc/PID/exe: under emulation the kernel's comm, and most command
// lines, show the guest program instead.
func EmulatedArch(exe string) string {
	exe = strings.TrimSuffix(exe, " (deleted)")
	if exe == rosetta || strings.HasPrefix(exe, rosetta+"/") {
		return "x86_64"
	}
	arch, ok := strings.CutPrefix(path.Base(exe), "qemu-")
	if !ok {
		return ""
	}
	arch = strings.TrimSuffix(arch, "-static")
	if strings.HasPrefix(arch, "system-") || arch == "img" || arch == "nbd" || arch == "io" || arch == "ga" {
		return "" // qemu's other programs
	}
	return arch
}
