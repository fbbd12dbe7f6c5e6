package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// emulated are the architectures that a machine runs by qemu.
var emulated = []string{"aarch64", "s390x", "riscv64"}

// registerBinfmt registers the handlers that Debian ships in the machine, from
// inside it, so that they are the machine's own qemu.
//
// binfmt_misc belongs to a user namespace (Linux 6.7; before that there is one
// for all), and a machine is in the host's: what is registered here, all of the
// host sees. So the names are the machine's, for unregisterBinfmt to find. A
// handler that the host, or another machine, has for the same architecture is
// left alone: the last one registered is asked first.
func (m *Machine) registerBinfmt(ctx context.Context) error {
	const dir = "/proc/sys/fs/binfmt_misc"
	if err := m.inside(ctx, "mount", "-t", "binfmt_misc", "binfmt_misc", dir); err != nil {
		return err
	}
	for _, arch := range emulated {
		name := "qemu-" + arch
		conf, err := os.ReadFile(m.Path("/usr/share/qemu/binfmt.d/" + name + ".conf"))
		if errors.Is(err, fs.ErrNotExist) {
			conf, err = os.ReadFile(m.Path("/usr/lib/binfmt.d/" + name + ".conf"))
		}
		if err != nil {
			return err
		}
		line, err := renameHandler(string(conf), name, m.slot.name()+"-"+arch)
		if err != nil {
			return err
		}
		// By a program inside: the kernel looks the interpreter up at once (flag
		// F), in the root of the process that writes.
		write := Cmd{Args: []string{"sh", "-c", "cat > " + dir + "/register"}, Stdin: strings.NewReader(line)}
		if err := m.quiet(ctx, write); err != nil {
			return fmt.Errorf("register %s: %w", name, err)
		}
	}
	return nil
}

// renameHandler returns the line of a binfmt.d(5) file that registers name,
// registering another name.
func renameHandler(conf, name, other string) (string, error) {
	for line := range strings.Lines(conf) {
		if rest, ok := strings.CutPrefix(line, ":"+name+":"); ok {
			return ":" + other + ":" + strings.TrimSuffix(rest, "\n"), nil
		}
	}
	return "", fmt.Errorf("no handler %s in %q", name, conf)
}

// unregisterBinfmt removes the machine's handlers. Each holds the machine's
// qemu open, and with it the machine's root file system.
func (s *slot) unregisterBinfmt() error {
	// A mount of our own: the host may have none, or an automount.
	dir := filepath.Join(s.dir(), "binfmt_misc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("binfmt_misc", dir, "binfmt_misc", 0, ""); err != nil {
		return fmt.Errorf("mount binfmt_misc: %w", err)
	}
	defer func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }()
	handlers, err := filepath.Glob(filepath.Join(dir, s.name()+"-*"))
	if err != nil {
		return err
	}
	for _, handler := range handlers {
		if err := os.WriteFile(handler, []byte("-1"), 0); err != nil {
			return fmt.Errorf("unregister %s: %w", filepath.Base(handler), err)
		}
	}
	return nil
}
