//go:build integration

package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/buildwatch/buildwatch/internal/wire"
)

// askForAPlace is a role: it says to the daemon what the wrapper says, and prints
// what is answered.
func askForAPlace() error {
	conn, err := net.Dial("unixpacket", wire.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(long)); err != nil {
		return err
	}
	packet := make([]byte, wire.MaxMessage)
	_, _ = conn.Write(wire.Encode(wire.Message{Type: wire.Prepare, Container: "buildah-buildah1"}))
	n, err := conn.Read(packet)
	if err != nil { // who connects from elsewhere is not even spoken with
		fmt.Println("answer closed")
		return nil
	}
	answer, err := wire.Decode(packet[:n])
	if err != nil {
		return err
	}
	fmt.Println("answer", answer.Type)
	return nil
}

// TestAttack10OthersAskForAPlace: a program that is not the wrapper, as root, as a
// user, and as the first process of a RUN container that is placed itself; the wrapper
// below a shell, and below a conmon. None is moved.
func TestAttack10OthersAskForAPlace(t *testing.T) {
	unharmed := underAttack(t)
	placed := listed(t)[0].Processes
	refused := func() int {
		n, err := strconv.Atoi(metric(t, `buildwatch_placement_failures_total{cause="refused"}`))
		must(t, err)
		return n
	}
	before := refused()
	for _, who := range []user{root, builder} {
		if out := who.as(t, "ask"); out != "answer refused\n" {
			t.Errorf("%s's program: %s", who, out)
		}
	}
	// exec: it is the container's first process.
	step := fmt.Sprintf("RUN exec /bin/busybox env %s=ask %s\n", roleEnv, bombProgram)
	b := startBuild(t, step, append(strings.Fields(bombFlags(t)), "--volume", filepath.Dir(wire.Socket)+":"+filepath.Dir(wire.Socket))...)
	b.succeed()
	if out := b.out.String(); !strings.Contains(out, "answer refused") && !strings.Contains(out, "answer closed") {
		t.Errorf("a RUN container's first process:\n%s", b.out.String())
	}

	// The runtime that the other user's build does not use.
	probed := "crun"
	if sh(t, "podman info --format '{{.Host.OCIRuntime.Name}}'") == probed {
		probed = "runc"
	}
	withProbe(t, "/usr/bin/"+probed)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), `{"linux":{}}`)
	if refused() < before+2 {
		t.Errorf("%d were refused, want 2 or more", refused()-before)
	}
	said, _ := try("%s/%s create --bundle %s buildah-buildah1", libexec, probed, dir)
	if !strings.Contains(said, "args: ") {
		t.Errorf("below a shell: %s", said)
	}
	before = refused()
	const container = "buildah-buildah2"
	short, err := os.MkdirTemp("", "c") // the path of a socket is limited
	must(t, err)
	defer os.RemoveAll(short)
	sh(t, "cp %s/config.json %s", dir, short)
	said, _ = try("d=%s; conmon --api-version 1 --cid %s --cuuid 000000000000 --name x --runtime %s/%s --bundle $d --container-pidfile $d/pid --log-path k8s-file:$d/log --log-level trace --exit-dir $d --persist-dir $d --socket-dir-path $d --sync; sleep 1; cat $d/log; journalctl -q --no-pager -o cat -n 3 -t buildwatch-runtime",
		short, container, libexec, probed)
	if refused() != before+1 {
		t.Errorf("below a conmon %d were refused, want 1: %s", refused()-before, said)
	}
	if config, err := os.ReadFile(filepath.Join(dir, "config.json")); err != nil || string(config) != `{"linux":{}}` {
		t.Errorf("config.json is now %s, %v", config, err)
	}
	if builds := listed(t); len(builds) != 1 || builds[0].Processes > placed+1 {
		t.Errorf("listed: %+v", builds)
	}
	unharmed()
}

// TestAttack15BundleOnAFileSystemThatHangs: the daemon opens nothing of it. The
// wrapper waits as the runtime would, which reads the same file, and then passes
// through.
func TestAttack15BundleOnAFileSystemThatHangs(t *testing.T) {
	for _, who := range []user{root, builder} {
		for _, hangs := range []string{"a read of config.json", "everything"} {
			t.Run(string(who)+", "+hangs, func(t *testing.T) {
				unharmed := underAttack(t)
				probed := "crun"
				if sh(t, "podman info --format '{{.Host.OCIRuntime.Name}}'") == probed {
					probed = "runc"
				}
				withProbe(t, "/usr/bin/"+probed)
				server := startFUSE(t, who)
				if hangs == "everything" {
					must(t, server.cmd.Process.Signal(syscall.SIGSTOP))
				}
				var said strings.Builder
				wrapper := exec.Command(filepath.Join(libexec, probed), "create", "--bundle", server.dir, "buildah-buildah1")
				id := uint32(userIDs[who])
				wrapper.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
				wrapper.Stdout, wrapper.Stderr = &said, &said
				must(t, wrapper.Start())
				time.Sleep(2 * time.Second)
				placed := metric(t, "buildwatch_placements_total")
				startBuild(t, "RUN true\n").succeed()
				if now := metric(t, "buildwatch_placements_total"); now == placed {
					t.Error("a step of another build was not placed meanwhile")
				}
				if n := metric(t, "buildwatch_proc_reads"); n != "0" {
					t.Errorf("%q reads of the daemon hang", n)
				}
				daemon := sh(t, "systemctl show -P MainPID buildwatchd.service")
				if stuck := sh(t, "cat /proc/%s/task/*/status | grep -c '^State:.D' || true", daemon); stuck != "0" {
					t.Errorf("%s threads of the daemon are in D", stuck)
				}
				if hangs == "everything" {
					must(t, server.cmd.Process.Signal(syscall.SIGCONT))
				}
				server.release(t)
				_ = wrapper.Wait() // the probe's exit status
				if !strings.Contains(said.String(), "create --bundle "+server.dir+" buildah-buildah1") {
					t.Errorf("the runtime was not called as it was to be: %s", said.String())
				}
				unharmed()
			})
		}
	}
}

// TestAttack22LeafMadeThreadedBetweenTwoSteps: no process can be moved there. It is
// made anew, and the step runs where it is to.
func TestAttack22LeafMadeThreadedBetweenTwoSteps(t *testing.T) {
	unharmed := underAttack(t)
	p := startRootless(t, builder, strings.Repeat("RUN echo x >> /x; /bin/busybox sleep 0.5\n", 6), "--network=none --layers=false --tag threaded")
	view := listedOf(t, builder, 0)
	leaf := "/sys/fs/cgroup" + view.Cgroup + "/payload/leaf"
	made := 0
	for p.alive() {
		if out, _ := os.ReadFile(leaf + "/cgroup.type"); string(out) == "domain\n" {
			// While a container runs, nobody is in the leaf. Of the daemon's the user may
			// not write this file; of one that they have made they may.
			if _, err := try("runuser -u builder -- sh -c 'rmdir %s && mkdir %s && echo threaded > %s/cgroup.type'", leaf, leaf, leaf); err == nil {
				made++
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	if status := p.wait(t); status != 0 {
		t.Fatalf("the build exits with %d:\n%s", status, p.said())
	}
	t.Logf("made threaded %d times", made)
	if made == 0 {
		t.Error("the leaf was never made threaded")
	}
	if got := builder.unshared(t, "podman", "cat $(podman image mount threaded)/x; podman image unmount threaded >/dev/null"); got != "x\nx\nx\nx\nx\nx" {
		t.Errorf("the image has %q", got)
	}
	if out := sh(t, "journalctl --sync; journalctl -q --no-pager -o cat -t buildwatch-runtime --since -20s"); out != "" {
		t.Logf("not placed: %s", out)
	}
	unharmed()
}

// TestAttack29BusRestartedAndSystemdReexecutedMidCall, at any moment of a step: it
// runs, watched or not, and no half-made scope stays.
func TestAttack29BusRestartedAndSystemdReexecutedMidCall(t *testing.T) {
	unharmed := underAttack(t)
	ctx, stop := context.WithCancel(context.Background())
	disturbed := make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil {
			for _, command := range []string{"systemctl daemon-reexec", "systemctl restart dbus.service", "systemctl daemon-reload"} {
				if _, err := try("%s", command); err == nil {
					n++
				}
				time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			}
		}
		disturbed <- n
	}()
	for range 8 {
		// With no limit on the wrapper's patience but its own.
		b := startPodman(t, strings.Repeat("RUN echo x >> /x\n", 4), "--cgroup-manager=cgroupfs", "build", "--layers=false", "--tag", "disturbed")
		b.succeed()
		if got := fileInImage(t, "disturbed", "x"); got != "x\nx\nx\nx\n" {
			t.Errorf("the image has %q", got)
		}
		abandoned := startPodman(t, family, "--cgroup-manager=cgroupfs", "build")
		time.Sleep(time.Duration(200+rand.IntN(800)) * time.Millisecond)
		_ = abandoned.cmd.Process.Kill()
		abandoned.wait()
	}
	stop()
	t.Logf("disturbed %d times", <-disturbed)
	startBus(t)
	eventually(t, func() (string, bool) {
		left, err := try("pgrep --full --list-full 'busybox [s]leep 100'")
		return "left: " + left, err != nil
	})
	// The next daemon sees what it can't tell the owner of, and keeps it until told.
	sh(t, "systemctl restart buildwatchd.service")
	eventually(t, func() (string, bool) {
		out, _ := try("%s stop --all --ignore", ctl)
		return fmt.Sprintf("%s; listed: %+v", out, listed(t)), len(listed(t)) == 0
	})
	mayLeaveStorage(t)
	sh(t, "podman images") // says once what it finds of those that were killed
	unharmed()
}
