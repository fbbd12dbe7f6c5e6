package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// An nspawn is the systemd-nspawn process of one machine.
type nspawn struct {
	console string
	notify  *net.UnixConn
	done    chan struct{} // closed when the process has ended
}

// nspawnArgs returns how systemd-nspawn is called for a slot's machine.
func nspawnArgs(s *slot, root string, binds []string) []string {
	return slices.Concat([]string{
		"--quiet", "--boot", "--directory=" + root, "--machine=" + s.name(),
		// The host's systemd, if it has one, is not asked for anything.
		"--register=no", "--keep-unit",
		"--notify-ready=yes", "--console=pipe",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--private-network", "--network-veth-extra=" + s.veth() + ":" + guestLink,
		// podman inside does what podman does on a host.
		"--capability=all", "--system-call-filter=@keyring bpf perf_event_open pidfd_getfd",
		// What is written goes to memory. Storage needs tmpfs of its own: overlays
		// can't have their upper layer in another overlay.
		"--volatile=overlay",
		"--tmpfs=/var/lib/containers:mode=0755", "--tmpfs=/var/tmp:mode=1777",
		"--tmpfs=/home/builder:mode=0700,uid=1000,gid=1000",
		"--tmpfs=/home/core:mode=0700,uid=501,gid=501",
	}, binds)
}

// startNspawn starts the machine in a cgroup of its own.
func startNspawn(s *slot, root string, binds []string) (*nspawn, error) {
	dir, err := s.cgroup()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	cgroup, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer cgroup.Close()
	n := &nspawn{console: filepath.Join(s.dir(), "console.log"), done: make(chan struct{})}
	console, err := os.Create(n.console)
	if err != nil {
		return nil, err
	}
	defer console.Close()
	socket := filepath.Join(s.dir(), "notify")
	if n.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		return nil, err
	}

	cmd := exec.Command("systemd-nspawn", nspawnArgs(s, root, binds)...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket,
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", // also on a hybrid host
		"SYSTEMD_NSPAWN_LOCK=0")              // several machines share one root
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{
		UseCgroupFD: true,
		CgroupFD:    int(cgroup.Fd()),
		// A Ctrl+C is for us, who then end the machine.
		Setpgid: true,
		// If we are killed, nspawn dies too, and its machine with it.
		Pdeathsig: syscall.SIGKILL,
	}
	started := make(chan error, 1)
	go func() {
		// The parent that Pdeathsig speaks of is a thread: this one, kept.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is of no interest: it is killed
		}
		close(n.done)
	}()
	if err := <-started; err != nil {
		n.notify.Close()
		return nil, err
	}
	return n, nil
}

// waitReady waits until the machine's systemd says that it is up, and returns
// the PID of the machine's init. See sd_notify(3); X_NSPAWN_LEADER_PID is in
// nspawn's own message as the machine starts.
func (n *nspawn) waitReady(ctx context.Context) (leader int, err error) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-ctx.Done():
		case <-n.done:
		case <-stop:
		}
		n.notify.Close() // ends the Read below
	}()
	message := make([]byte, 4096)
	for ready := false; !ready || leader == 0; {
		size, err := n.notify.Read(message)
		if err != nil {
			return 0, n.explain(ctx)
		}
		for line := range strings.Lines(string(message[:size])) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch {
			case key == "READY" && value == "1":
				ready = true
			case key == "X_NSPAWN_LEADER_PID":
				if leader, err = strconv.Atoi(value); err != nil {
					return 0, fmt.Errorf("systemd-nspawn's message: %w", err)
				}
			}
		}
	}
	return leader, nil
}

// explain says why the machine's systemd will never be ready.
func (n *nspawn) explain(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	text, err := os.ReadFile(n.console)
	if err != nil {
		return errors.New("systemd-nspawn ended")
	}
	return fmt.Errorf("systemd-nspawn ended: %s", strings.TrimSpace(string(text)))
}

// wait waits for the end of the process, which somebody has killed.
func (n *nspawn) wait() {
	n.notify.Close()
	<-n.done
}
