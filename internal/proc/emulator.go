package proc

import (
	"path"
	"strings"
)

// rosetta are the directories that Apple's translator, which runs x86_64 programs on
// arm64, is shared into virtual machines by, and the files that it is run as. A container
// that does not see the mount has a path that begins at it.
//
// Source: containers/podman-machine-os, rosetta-activation.sh (/mnt/rosetta); Docker
// Desktop (/run/rosetta/rosetta); lima (/mnt/lima-rosetta); Apple's documentation "Running
// Intel Binaries in Linux VMs with Rosetta" (/media/rosetta).
var rosetta = []string{"/mnt/rosetta", "/run/rosetta", "/mnt/lima-rosetta", "/media/rosetta", "/rosetta"}

// The emulators that are known, as the API names them.
const (
	QEMU    = "qemu"
	Rosetta = "rosetta"
)

// EmulatedArch returns the architecture that the program at exe emulates, as
// qemu names it ("aarch64", "x86_64"), or "" for any other program. exe is the
// target of /proc/PID/exe: under emulation the kernel's comm, and most command
// lines, show the guest program instead.
func EmulatedArch(exe string) string {
	_, arch := Emulation(exe)
	return arch
}

// Emulation returns which emulator the program at exe is as well.
func Emulation(exe string) (emulator, arch string) {
	exe = strings.TrimSuffix(exe, " (deleted)")
	for _, place := range rosetta {
		if exe == place || exe == place+"/rosetta" {
			return Rosetta, "x86_64"
		}
	}
	arch, ok := strings.CutPrefix(path.Base(exe), "qemu-")
	if !ok {
		return "", ""
	}
	arch = strings.TrimSuffix(arch, "-static")
	if strings.HasPrefix(arch, "system-") || arch == "img" || arch == "nbd" || arch == "io" || arch == "ga" {
		return "", "" // qemu's other programs
	}
	if arch == "" {
		return "", ""
	}
	return QEMU, arch
}
