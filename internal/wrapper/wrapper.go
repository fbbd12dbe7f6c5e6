// Package wrapper is the program that podman and buildah call in the place of
// the OCI runtime. It asks the daemon to place the RUN containers of builds
// into their build's scope, and becomes the real runtime by execve(2).
//
// Its first duty is to be transparent: whatever fails on the way, the real
// runtime runs with exactly the arguments, environment, descriptors, limits,
// signal mask, umask and working directory that it would have had. It may
// write one file, config.json of a build's bundle. Of podman's configuration it reads
// where the runtimes are; it has none of its own.
package wrapper

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/buildwatch/buildwatch/internal/runtimes"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// exitFailure is the status for a container that must not start, and for a
// runtime that is not there: what crun and runc exit with on any error.
const exitFailure = 1

// Main becomes the runtime that args[0] names. ignored has bit n-1 set for each
// signal n that the runtime is to find ignored. It returns only on failure, with
// the exit status.
func Main(args []string, ignored uint64) int {
	deadline := time.Now().Add(wire.Patience)
	real, err := findReal(args[0])
	if err != nil {
		fmt.Fprintf(os.Stderr, "buildwatch-runtime: %v\n", err)
		return exitFailure
	}
	rest := args[1:]
	if c, ok := parseCreate(rest); ok {
		placed, err := place(c, surroundings{wire.Socket, checkHierarchy, checkPlace}, deadline)
		var ended endedError
		switch {
		case errors.As(err, &ended):
			fmt.Fprintf(os.Stderr, "buildwatch-runtime: %v\n", ended)
			return exitFailure
		case err != nil:
			report(c.container, err)
		}
		if placed {
			rest = c.placed
		}
	}
	ignoreSignals(ignored)
	err = syscall.Exec(real, append([]string{real}, rest...), os.Environ())
	fmt.Fprintf(os.Stderr, "buildwatch-runtime: cannot execute %s: %v\n", real, err)
	return exitFailure
}

func findReal(argv0 string) (string, error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return "", err
	}
	return runtimes.Find(argv0, self, runtimes.Files(os.Getenv, os.Geteuid()), os.Getenv("PATH"))
}

// endedError says that the build is over and its container must not start.
type endedError struct{ reason string }

func (e endedError) Error() string { return "the build was ended: " + e.reason }

// surroundings are what place meets: the daemon's socket, and the cgroup hierarchy,
// see checkHierarchy and checkPlace.
type surroundings struct {
	socket      string
	hierarchy   func() error
	usablePlace func(cgroupsPath string) error
}

// place brings this process and the container that it will create into the
// build's scope. It returns whether config.json now names the scope, in which
// case the runtime has to be called with c.placed; with an error that is not an
// endedError the container runs unwatched.
//
// A daemon that ends meanwhile is started again at once, and its socket is there all the
// time: the next one is asked once more.
func place(c creation, around surroundings, deadline time.Time) (placed bool, err error) {
	placed, err = placeOnce(c, around, deadline)
	if !placed && errors.Is(err, errLost) {
		return placeOnce(c, around, deadline)
	}
	return placed, err
}

func placeOnce(c creation, around surroundings, deadline time.Time) (placed bool, err error) {
	d, dialErr := dial(around.socket, deadline)
	if dialErr == nil {
		defer d.close()
	}
	b, err := placeable(c, around.hierarchy)
	if err != nil {
		if dialErr == nil {
			d.outside(c.container)
		}
		return false, err
	}
	defer b.close()
	if dialErr != nil {
		return false, dialErr
	}

	prepared, err := d.prepare(c.container)
	if err := unlessAnswered(prepared, err, wire.Prepared); err != nil {
		return false, err
	}
	config, err := withCgroupsPath(b.config, prepared.CgroupsPath)
	if err != nil {
		return false, err
	}
	if err := around.usablePlace(prepared.CgroupsPath); err != nil {
		return false, err
	}
	if err := b.replace(config); err != nil {
		return false, err
	}
	entered, err := d.enter()
	err = unlessAnswered(entered, err, wire.Entered)
	if err != nil && !d.takeBack() {
		d.awaitOutcome()
		if inLeafOf(prepared.CgroupsPath) {
			err = nil // the move was made, only its answer is missing
		}
	}
	if err == nil {
		b.commit()
		return true, nil
	}
	if undo := b.restore(); undo != nil {
		// The configuration names the scope: only c.placed fits it.
		return true, errors.Join(err, undo)
	}
	return false, err
}

// placeable opens the container's bundle. It finds out, before anything is asked for,
// what can be known here: whether the configuration can be changed, and whether the
// runtime could do what it would say.
func placeable(c creation, hierarchy func() error) (*bundle, error) {
	if err := hierarchy(); err != nil {
		return nil, err
	}
	b, err := openBundle(c.bundle)
	if err != nil {
		return nil, err
	}
	if _, err := withCgroupsPath(b.config, "/"); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// unlessAnswered turns every outcome but the wanted answer into an error.
func unlessAnswered(answer wire.Message, err error, want wire.Type) error {
	switch {
	case err != nil:
		return err
	case answer.Type == want:
		return nil
	case answer.Type == wire.Ended:
		return endedError{answer.Reason}
	case answer.Type == wire.Refused:
		return fmt.Errorf("buildwatchd refused: %s", answer.Reason)
	default:
		return fmt.Errorf("buildwatchd answered %q, not %q", answer.Type, want)
	}
}

// inLeafOf reports whether this process was moved to where the daemon moves the
// caller of a container that will live in cgroupsPath: the leaf beside it.
func inLeafOf(cgroupsPath string) bool {
	own, err := ownCgroup()
	return err == nil && own == path.Join(path.Dir(cgroupsPath), wire.Leaf)
}

// ownCgroup is where this process is in the unified hierarchy.
func ownCgroup() (string, error) {
	content, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(content)) {
		if own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return own, nil
		}
	}
	return "", errors.New("this process is in no cgroup of the unified hierarchy")
}
