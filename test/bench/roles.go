package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// roleEnv makes this program play another one.
const roleEnv = "BUILDWATCH_BENCH_ROLE"

// startRole starts this program in a role, and waits until it is ready.
func startRole(role string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, err = out.Read(make([]byte, 1))
	return cmd, err
}

// runRole runs this program in a role, under a name, and returns its output.
func runRole(role, name string, args ...string) (string, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{name}, args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return string(out), err
}

func play(role string) error {
	args := os.Args[1:]
	switch role {
	case "floor":
		pid, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		return killWithOwner(pid, args[1])
	case "post":
		return postAndWait(args[0], args[1], args[2])
	case "builder":
		out, err := runRole("monitor", "buildah-oci-runtime", args...)
		fmt.Print(out)
		return err
	case "monitor":
		return createContainers(args[0], args[1])
	}
	return fmt.Errorf("unknown role %q", role)
}

// killWithOwner is the floor: the least that ends a build with its owner.
func killWithOwner(owner int, cgroupKill string) error {
	kill, err := os.OpenFile(cgroupKill, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	pidfd, err := unix.PidfdOpen(owner, 0)
	if err != nil {
		return err
	}
	fmt.Print("r")
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, -1)
		if n > 0 {
			break
		}
		if err != nil && err != unix.EINTR {
			return err
		}
	}
	_, err = io.Copy(kill, strings.NewReader("1"))
	return err
}
