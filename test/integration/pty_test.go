//go:build integration

package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// startInTerminal starts a command at a new terminal, which setsid(1) must make
// its own. Closing what it returns closes the terminal, as a lost ssh connection
// does: the kernel sends SIGHUP to the session's leader, and to nobody else.
func startInTerminal(t *testing.T, cmd *exec.Cmd, out io.Writer) (terminal *os.File) {
	t.Helper()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { terminal.Close() })
	must(t, unix.IoctlSetPointerInt(int(terminal.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPTN)
	must(t, err)
	// Fd has made it blocking; a Read that blocks would hold Close up.
	must(t, unix.SetNonblock(int(terminal.Fd()), true))
	inside, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer inside.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inside, inside, inside
	must(t, cmd.Start())
	ours, err := unix.FcntlInt(terminal.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	must(t, err)
	must(t, unix.SetNonblock(ours, true))
	master := os.NewFile(uintptr(ours), "terminal")
	terminal.Close()
	t.Cleanup(func() { master.Close() })
	go io.Copy(out, master) // ends with the terminal
	return master
}
