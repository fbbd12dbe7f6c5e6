package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// kinds are the ways to build: a format of the command, which is given tag, platform and directory.
var kinds = []struct{ name, command string }{
	{"podman", "podman build --network=none --no-cache --tag %s --platform linux/%s %s"},
	{"a user's podman", "runuser --login builder --session-command 'exec podman build --network=none --no-cache --tag %s --platform linux/%s %s'"},
	{"buildah", "buildah build --isolation oci --network=none --no-cache --tag %s --platform linux/%s %s"},
	{"chroot", "buildah build --isolation chroot --no-cache --tag %s --platform linux/%s %s"},
	{"API", "podman --remote --url unix:///run/chaos-api.sock build --network=none --no-cache --tag %s --platform linux/%s %s"},
	{"run", "buildwatchctl run -- podman build --network=none --no-cache --tag %s --platform linux/%s %s"},
}

// ends are what a client is cancelled by.
var ends = []unix.Signal{unix.SIGKILL, unix.SIGINT, unix.SIGTERM, unix.SIGHUP}

// patience is how long after a build's end something of it may live on. The daemon may
// have been stopped for two seconds of it, and the machine is shared.
const patience = 15 * time.Second

// build does one, cancels a third of them, and looks what has become of it.
func (w *world) build(choose *rand.Rand, name string) {
	kind := kinds[choose.IntN(len(kinds))]
	arch := arches[choose.IntN(len(arches))]
	steps := 1 + choose.IntN(3)
	cancelled := choose.IntN(3) == 0
	signal := ends[choose.IntN(len(ends))]
	after := time.Duration(choose.IntN(2000)) * time.Millisecond
	naps := make([]int, steps)
	for i := range naps {
		naps[i] = choose.IntN(15)
	}

	tag, mark := "chaos-"+name, "chaos-"+name+"-mark"
	dir := filepath.Join(w.dir, name)
	if out, err := sh(fmt.Sprintf("cp -r %s/%s %s", w.dir, arch, dir)); err != nil {
		w.violated("%s: %s", err, out)
		return
	}
	defer os.RemoveAll(dir)
	var instructions, want string
	for i, nap := range naps {
		instructions += fmt.Sprintf("RUN : %s; echo begin-%d >> /content; /bin/busybox sleep %d.%d; echo end-%[2]d >> /content\n", mark, i, nap/10, nap%10)
		want += fmt.Sprintf("begin-%d\nend-%d\n", i, i)
	}
	file, err := os.OpenFile(filepath.Join(dir, "Containerfile"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		w.violated("%v", err)
		return
	}
	_, _ = file.WriteString(instructions)
	file.Close()

	var out bytes.Buffer
	cmd := exec.Command("bash", "-c", "exec "+fmt.Sprintf(kind.command, tag, arch, dir))
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		w.violated("%v", err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if cancelled {
		select {
		case err = <-ended:
			cancelled = false
		case <-time.After(after):
			_ = unix.Kill(-cmd.Process.Pid, signal)
			select {
			case <-ended:
			case <-time.After(patience):
				_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
				<-ended
			}
		}
	} else {
		err = <-ended
	}
	w.nothingIsLeft(kind.name, mark, cancelled, signal)
	switch {
	case cancelled:
		w.count(w.builds, kind.name+" cancelled")
	case err != nil:
		w.violated("%s %s, which nobody has cancelled: %v\n%s", kind.name, name, err, out.String())
	default:
		w.count(w.builds, kind.name)
		w.compareContent(kind.name, tag, want)
	}
}

// nothingIsLeft waits until no process of a build that has ended is there.
func (w *world) nothingIsLeft(kind, mark string, cancelled bool, signal unix.Signal) {
	began := time.Now()
	for {
		left := having(mark)
		if len(left) == 0 {
			w.tookToEnd(time.Since(began))
			return
		}
		if time.Since(began) > patience {
			how := "ended by itself"
			if cancelled {
				how = "was cancelled by " + unix.SignalName(signal)
			}
			tree, _ := sh("ps -o pid,ppid,stat,etimes,cgroup:80,args --forest -e | grep -E 'buildah-oci|podman|" + mark + "'; buildwatchctl list")
			w.violated("of %s, which %s, there is left after %v: %v\n%s", kind, how, patience, left, tree)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// compareContent looks whether the image has all that the steps have written.
func (w *world) compareContent(kind, tag, want string) {
	read := "cat $(buildah mount $c)/content"
	if kind == "a user's podman" {
		read = `buildah unshare sh -c "cat \$(buildah mount $c)/content"`
	}
	look := "c=$(buildah from --pull-never localhost/" + tag + ") && " + read + "; buildah rm $c >/dev/null; podman rmi --force " + tag + " >/dev/null"
	if kind == "a user's podman" {
		look = "runuser --login builder --session-command '" + look + "'"
	}
	// What storage warns of, after cancelled builds, is no content.
	out, err := sh("exec 2>/dev/null; " + look)
	if err != nil || strings.TrimSpace(out) != strings.TrimSpace(want) {
		w.violated("the image of %s has %q, not %q (%v)", kind, out, want, err)
	}
}
