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
	"sync"
	"syscall"
	"time"
)

// A VM is a running virtual machine: the root file system of a Machine under a kernel of
// its own, with systemd as the real PID 1, every cgroup controller and its own
// binfmt_misc. It is emulated, on one core, so that it is the same everywhere: slow. But it
// does not know: its clock counts what it has executed, a nanosecond for each instruction,
// and real time only while it is idle. So a limit of a second is one of a computer of this
// speed, however busy the host is, and what is measured inside is the same each time.
type VM struct {
	opts  Options
	dir   string // temporary
	image string
	port  int
	qemu  *exec.Cmd
	ended chan struct{}
	last  *exec.Cmd // that was started inside

	closeOnce sync.Once
	closeErr  error
}

// vmBootTimeout is how long a VM may take to boot. It takes one minute on an idle core.
const vmBootTimeout = 20 * time.Minute

// BootVM boots a VM and returns when it is up.
func BootVM(ctx context.Context, opts Options) (*VM, error) {
	if opts.Say == nil {
		opts.Say = func(string, ...any) {}
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return nil, errors.New("a VM needs qemu-system-x86_64: apt-get install qemu-system-x86")
	}
	image, err := VMImage(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := tellVersions(ctx, opts.Suite, opts.Say); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "buildwatch-vm-")
	if err != nil {
		return nil, err
	}
	v := &VM{opts: opts, dir: dir, image: image, ended: make(chan struct{})}
	ctx, cancel := context.WithTimeoutCause(ctx, vmBootTimeout, fmt.Errorf("it did not boot within %s", vmBootTimeout))
	defer cancel()
	if err := v.boot(ctx); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		console, _ := os.ReadFile(filepath.Join(dir, "console"))
		return nil, errors.Join(fmt.Errorf("boot a VM of %s: %w: %s", opts.Suite, err, lastLine(string(console))), v.Close())
	}
	return v, nil
}

func (v *VM) boot(ctx context.Context) error {
	began := time.Now()
	var disks []string
	if v.opts.Source != "" {
		disk, err := sourceDisk(ctx, v.opts.Source, v.dir)
		if err != nil {
			return fmt.Errorf("make a disk of the checkout: %w", err)
		}
		disks = []string{"-drive", "if=virtio,format=raw,readonly=on,file=" + disk}
	}
	var err error
	if v.port, err = freePort(); err != nil {
		return err
	}
	security := "apparmor"
	if v.opts.SELinux {
		security = "selinux selinux=1"
	}
	args := []string{
		// No mitigations: they are for real processors, and dear on this one.
		// Page tables of four levels, not five: each is walked by the emulator.
		"-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-smp", "1", "-m", "4096",
		"-icount", "shift=0,sleep=on",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", filepath.Join(v.image, vmKernel), "-initrd", filepath.Join(v.image, vmInitrd),
		"-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet mitigations=off init_on_alloc=0 systemd.default_timeout_start_sec=600 security=" + security,
		"-serial", "file:" + filepath.Join(v.dir, "console"),
		// What is written goes to a file that has no name any more.
		"-drive", "if=virtio,format=raw,snapshot=on,file=" + filepath.Join(v.image, vmDisk),
		// It reaches nothing, and is reached by ssh alone.
		"-netdev", fmt.Sprintf("user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:%d-:22", v.port), "-device", "virtio-net-pci,netdev=n0",
		"-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0",
	}
	v.qemu = exec.Command("qemu-system-x86_64", slices.Concat(args, disks)...)
	v.qemu.Env = append(os.Environ(), "TMPDIR="+v.dir)
	v.qemu.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(v.dir, "qemu.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	v.qemu.Stdout, v.qemu.Stderr = log, log
	v.opts.Say("booting a VM of %s", v.opts.Suite)
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the parent that Pdeathsig speaks of is a thread
		err := v.qemu.Start()
		started <- err
		if err == nil {
			_ = v.qemu.Wait()
		}
		close(v.ended)
	}()
	if err := <-started; err != nil {
		return err
	}
	if err := v.waitReady(ctx); err != nil {
		return err
	}
	if v.opts.Source != "" {
		if err := v.inside(ctx, "mkdir -p "+SourceDir+" && mount -o ro /dev/vdb "+SourceDir); err != nil {
			return err
		}
	}
	kernel, err := v.sshCommand(ctx, "uname -r").Output()
	if err != nil {
		return err
	}
	v.opts.Say("the VM is up after %s: kernel %s", time.Since(began).Round(time.Second), strings.TrimSpace(string(kernel)))
	return nil
}

// waitReady waits until the VM's systemd has done all that a boot does.
func (v *VM) waitReady(ctx context.Context) error {
	for {
		err := v.inside(ctx, "systemctl start user@1000.service user@501.service && systemctl is-system-running --wait")
		if err == nil {
			return nil
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() != 255 { // ssh's own
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-v.ended:
			text, _ := os.ReadFile(filepath.Join(v.dir, "qemu.log"))
			return fmt.Errorf("qemu has ended: %s", lastLine(string(text)))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// sshCommand is a shell's command line inside, as root.
func (v *VM) sshCommand(ctx context.Context, line string) *exec.Cmd {
	return exec.CommandContext(ctx, "ssh", "-q", "-i", filepath.Join(v.image, vmKey), "-p", strconv.Itoa(v.port),
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=60",
		"root@127.0.0.1", line)
}

func (v *VM) inside(ctx context.Context, line string) error {
	out, err := v.sshCommand(ctx, line).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, lastLine(string(out)))
	}
	return nil
}

// Install installs the project inside, see Machine.Install.
func (v *VM) Install(ctx context.Context) error {
	v.opts.Say("installing the project inside")
	return v.inside(ctx, "make --no-print-directory -C "+SourceDir+" install PREFIX=/usr/local && systemctl daemon-reload && systemctl enable --now buildwatchd.socket buildwatchd.service")
}

// Inside is as of a Machine.
func (v *VM) Inside(dir string) (string, bool) { return (&Machine{opts: v.opts}).Inside(dir) }

// Program is as of a Machine.
func (v *VM) Program(name string) (string, error) {
	if !strings.Contains(name, "/") || v.inside(context.Background(), "test -x "+shellQuote(name)) == nil {
		return name, nil
	}
	program, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("neither inside nor on this host: %w", err)
	}
	defer program.Close()
	inside := filepath.Join("/opt", filepath.Base(name))
	cmd := v.sshCommand(context.Background(), "cat >"+shellQuote(inside)+" && chmod 755 "+shellQuote(inside))
	cmd.Stdin = program
	_, err = runHost(cmd)
	return inside, err
}

// Start starts a command inside as that of a Machine.
func (v *VM) Start(ctx context.Context, c Cmd) (*exec.Cmd, error) {
	if c.Dir == "" {
		c.Dir = "/root"
	}
	words := slices.Concat([]string{"/usr/bin/env"}, loginEnv, c.Env, c.Args)
	for i, word := range words {
		words[i] = shellQuote(word)
	}
	expand := `$(systemd-run --help | grep -q -- --expand-environment && echo --expand-environment=no)`
	cmd := v.sshCommand(ctx, fmt.Sprintf("cd %s && exec systemd-run --scope --quiet --collect --slice=user.slice %s -- %s", shellQuote(c.Dir), expand, strings.Join(words, " ")))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: c.Group}
	v.last = cmd
	return cmd, cmd.Start()
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// vmEndTimeout is how long a VM may take to end that was told to by what ran inside.
const vmEndTimeout = 5 * time.Minute

// isEnding reports whether the last command's connection was lost because the VM ends.
func (v *VM) isEnding() bool {
	if v.last == nil || v.last.ProcessState == nil || v.last.ProcessState.ExitCode() != 255 { // ssh's own
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	state, _ := v.sshCommand(ctx, "systemctl is-system-running").Output()
	return !slices.Contains([]string{"running", "degraded"}, strings.TrimSpace(string(state)))
}

// sayHowItEnded tells what the console has shown last, if the VM ends by itself.
func (v *VM) sayHowItEnded() {
	var patience time.Duration
	if v.isEnding() {
		patience = vmEndTimeout
	}
	select {
	case <-v.ended:
		console, _ := os.ReadFile(filepath.Join(v.dir, "console"))
		lines := strings.Split(strings.TrimSpace(string(console)), "\n")
		v.opts.Say("the VM has ended by itself; on its console:\n%s", strings.Join(lines[max(0, len(lines)-8):], "\n"))
	case <-time.After(patience):
	}
}

// Close ends the VM at once, as pulling the plug would.
func (v *VM) Close() error {
	v.closeOnce.Do(func() {
		if v.qemu != nil && v.qemu.Process != nil {
			v.sayHowItEnded()
			_ = v.qemu.Process.Kill() // fails only when it has ended
			<-v.ended
		}
		v.closeErr = removeTree(v.dir)
	})
	return v.closeErr
}
