package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Where the runtime is, bare and wrapped.
const (
	bareRuntime    = "/usr/bin/crun"
	wrappedRuntime = "/usr/local/libexec/buildwatch/crun"
)

// measurePasses measures calls of the runtime that are passed through, beside the same
// without the wrapper: their time, and their CPU time.
func measurePasses(calls int) (times, cpu []*series, err error) {
	for _, name := range []string{"crun alone", "through the wrapper"} {
		times, cpu = append(times, &series{name: name}), append(cpu, &series{name: name})
	}
	for range calls {
		for i, runtime := range []string{bareRuntime, wrappedRuntime} {
			call := exec.Command(runtime, "--version")
			started := time.Now()
			if err := call.Run(); err != nil {
				return nil, nil, err
			}
			times[i].add(time.Since(started))
			cpu[i].add(call.ProcessState.UserTime() + call.ProcessState.SystemTime())
		}
	}
	return times, cpu, nil
}

// measureCreates measures how long containers take to be created, directly and through
// the wrapper.
func measureCreates(calls int) (creates []*series, err error) {
	create := &series{name: "create, crun alone"}
	first := &series{name: "create, wrapped, a build's first step"}
	next := &series{name: "create, wrapped, a later step"}
	root, err := makeRoot()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	for call := range calls {
		fmt.Fprintf(os.Stderr, "\rbench: create %d of %d", call+1, calls)
		// A builder of its own for each, for whom the daemon makes a new build.
		out, err := runRole("builder", "bench", root, strconv.Itoa(call))
		if err != nil {
			return nil, err
		}
		for i, field := range strings.Fields(out) {
			took, err := time.ParseDuration(field)
			if err != nil {
				return nil, err
			}
			[]*series{create, first, next}[i].add(took)
		}
	}
	fmt.Fprintln(os.Stderr)
	return []*series{create, first, next}, nil
}

// makeRoot makes a directory with a container's root in it.
func makeRoot() (string, error) {
	dir, err := os.MkdirTemp("/var/tmp", "bench")
	if err != nil {
		return "", err
	}
	busybox, err := os.ReadFile(filepath.Join(busyboxes, "amd64", "busybox"))
	if err != nil {
		return dir, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "rootfs", "bin"), 0o755); err != nil {
		return dir, err
	}
	return dir, os.WriteFile(filepath.Join(dir, "rootfs", "bin", "sh"), busybox, 0o755)
}

// createContainers creates three containers as a monitor of buildah's would, and
// prints how long each took: by the runtime alone, as the first of a build, and
// as a later one.
func createContainers(root, round string) error {
	for i, runtime := range []string{bareRuntime, wrappedRuntime, wrappedRuntime} {
		took, err := createContainer(root, runtime, fmt.Sprintf("buildah-buildah%s%d", round, i))
		if err != nil {
			return err
		}
		fmt.Println(took)
	}
	return nil
}

func createContainer(root, runtime, id string) (time.Duration, error) {
	bundle := filepath.Join(root, id)
	if err := os.Mkdir(bundle, 0o755); err != nil {
		return 0, err
	}
	defer os.RemoveAll(bundle)
	spec := exec.Command(bareRuntime, "spec")
	spec.Dir = bundle
	if err := spec.Run(); err != nil {
		return 0, err
	}
	if err := adaptSpec(filepath.Join(bundle, "config.json"), filepath.Join(root, "rootfs")); err != nil {
		return 0, err
	}
	create := exec.Command(runtime, "--systemd-cgroup", "create", "--bundle", bundle, "--pid-file", filepath.Join(bundle, "pid"), id)
	create.Stderr = os.Stderr
	started := time.Now()
	if err := create.Run(); err != nil {
		return 0, fmt.Errorf("%s create: %w", runtime, err)
	}
	took := time.Since(started)
	return took, exec.Command(bareRuntime, "delete", "--force", id).Run()
}

// adaptSpec makes of crun's sample configuration one like buildah's: no
// terminal, the root elsewhere, and no limits that the machine can't set.
func adaptSpec(path, rootfs string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(content, &config); err != nil {
		return err
	}
	config["root"] = map[string]any{"path": rootfs}
	process := config["process"].(map[string]any)
	process["terminal"] = false
	delete(process, "rlimits")
	delete(config["linux"].(map[string]any), "resources")
	if content, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}
