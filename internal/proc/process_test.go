package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"testing"
)

// Attack 31, CVE-2021-25683: a comm that looks like the fields after it.
func TestLookIsNotFooledByTheCommand(t *testing.T) {
	for _, comm := range []string{
		") R 1 (x", "a) R 1 2 3 (b)", ")", "(", "))))", "a\nb", "\n", " ", "a b  c",
		"\x1b[31mred", "\xff\xfe", "tab\there", ") Z 0 0 0 0", "exactly15bytes.",
	} {
		t.Run(comm, func(t *testing.T) {
			c := startShell(t, `printf %s "$1" > /proc/self/comm`, comm)
			look, err := Look(c.PID)
			if err != nil {
				t.Fatal(err)
			}
			if look.PID != c.PID || look.PPID != os.Getpid() || look.Comm != comm || !strings.Contains("SR", look.State) {
				t.Errorf("got %+v; want PPID %d, comm %q", look, os.Getpid(), comm)
			}
			stat, err := c.Stat()
			if err != nil || stat.PPID != os.Getpid() || stat.Starttime != c.Start {
				t.Errorf("Stat = %+v, %v", stat, err)
			}
			parent, err := c.Parent()
			if err != nil {
				t.Fatal(err)
			}
			defer parent.Close()
			if parent.PID != os.Getpid() {
				t.Errorf("the parent is %d", parent.PID)
			}
			if again, err := Find(c.Identity); err != nil {
				t.Errorf("it is not found again: %v", err)
			} else {
				again.Close()
			}
		})
	}
}

func TestLookAtNoProcess(t *testing.T) {
	for _, pid := range []int{0, -1, 1 << 30} {
		if look, err := Look(pid); !errors.Is(err, ErrGone) {
			t.Errorf("Look(%d) = %+v, %v; want ErrGone", pid, look, err)
		}
		if arch := Arch(pid); arch != "" {
			t.Errorf("Arch(%d) = %q", pid, arch)
		}
	}
}

func TestEmulatedArch(t *testing.T) {
	for exe, want := range map[string]string{
		"/usr/bin/qemu-aarch64":                  "aarch64",
		"/usr/bin/qemu-aarch64-static":           "aarch64",
		"/usr/bin/qemu-aarch64-static (deleted)": "aarch64",
		"/usr/bin/qemu-x86_64":                   "x86_64",
		"/usr/bin/qemu-ppc64le-static":           "ppc64le",
		"/usr/libexec/qemu-binfmt/qemu-riscv64":  "riscv64",
		"qemu-s390x":                             "s390x",
		"/mnt/rosetta":                           "x86_64",
		"/mnt/rosetta/rosetta":                   "x86_64",
		"/mnt/rosetta (deleted)":                 "x86_64",
		"/run/rosetta/rosetta":                   "x86_64",
		"/mnt/lima-rosetta/rosetta":              "x86_64",
		"/media/rosetta/rosetta":                 "x86_64",
		"/rosetta":                               "x86_64", // where the mount is not seen

		"":                             "",
		"/":                            "",
		"/usr/bin/sh":                  "",
		"/mnt/rosetta-stone":           "",
		"/mnt":                         "",
		"/mnt/rosetta/lib/x":           "",
		"/usr/bin/rosetta":             "",
		"/usr/bin/qemu":                "",
		"/usr/bin/qemu-":               "",
		"/usr/bin/qemu-system-x86_64":  "",
		"/usr/bin/qemu-img":            "",
		"/usr/bin/qemu-nbd":            "",
		"/usr/bin/qemu-io":             "",
		"/usr/bin/qemu-ga":             "",
		"/qemu-aarch64/bin/sh":         "",
		"/usr/bin/not-qemu-aarch64":    "",
		"/usr/bin/qemu-img (deleted)":  "",
		"/home/u/my qemu-arm (notreal": "",
	} {
		emulator, got := Emulation(exe)
		if got != want {
			t.Errorf("the architecture of %q is %q, want %q", exe, got, want)
		}
		by := ""
		switch {
		case want == "":
		case strings.Contains(exe, "rosetta"):
			by = Rosetta
		default:
			by = QEMU
		}
		if emulator != by {
			t.Errorf("the emulator of %q is %q, want %q", exe, emulator, by)
		}
	}
}

func FuzzEmulatedArch(f *testing.F) {
	f.Add("/usr/bin/qemu-aarch64-static (deleted)")
	f.Add("/mnt/rosetta/rosetta")
	f.Fuzz(func(t *testing.T, exe string) {
		arch := EmulatedArch(exe)
		if arch == "" {
			return
		}
		name := path.Base(strings.TrimSuffix(exe, " (deleted)"))
		if name != "qemu-"+arch && name != "qemu-"+arch+"-static" && (arch != "x86_64" || !strings.HasSuffix(name, "rosetta")) {
			t.Fatalf("EmulatedArch(%q) = %q", exe, arch)
		}
	})
}

func TestHasExeced(t *testing.T) {
	cmd := exec.Command("sh", "-c", "(read _); :") // a shell, and its fork
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	}()
	children := fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", cmd.Process.Pid)
	for {
		list, err := os.ReadFile(children)
		if err != nil {
			t.Fatal(err)
		}
		if child, err := strconv.Atoi(strings.TrimSpace(string(list))); err == nil {
			if HasExeced(child) {
				t.Error("the fork has executed something")
			}
			break
		}
	}
	if !HasExeced(cmd.Process.Pid) {
		t.Error("the shell has not executed anything")
	}
}
