// Package runtimes finds the real OCI runtimes that buildwatch stands in front of, by
// what podman has compiled in and by what the configuration of podman says. It looks
// files up and does nothing else; $PATH is consulted where nothing else is found, as
// podman does.
package runtimes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// table holds the paths that podman has compiled in, so that the wrapper resolves a name
// to the file that podman would have found itself. The drop-in
// dist/containers/50-buildwatch.conf.in repeats it (a test compares the two).
var table = podman.RuntimePaths()

// ErrUnknown is returned for a name that is no OCI runtime known here.
var ErrUnknown = errors.New("not an OCI runtime that buildwatch knows")

// ErrNotInstalled is returned for a runtime that the host does not have, in podman's words.
var ErrNotInstalled = errors.New(podman.NoRuntime)

// Find returns the path of the real runtime that was called as argv0, a name
// or a path that ends in one: the one that podman would take by itself, see Files. A
// file that is the program self itself, or another installation of it, is passed
// over: a wrapper that finds itself would call itself for ever.
//
// The error is ErrUnknown or ErrNotInstalled, wrapped with the name and the
// paths that were tried.
//
// Where no path of the row is there, podman looks along $PATH, and so it is done here: of
// a row that was edited, or whose program was removed, after the drop-in was made.
//
// Source: containers/podman 5.4, libpod/oci_conmon_common.go, newConmonOCIRuntime.
func Find(argv0 string, self fs.FileInfo, files []string, search string) (string, error) {
	name := filepath.Base(argv0)
	if _, ok := table[name]; !ok {
		return "", fmt.Errorf("%q: %w", name, ErrUnknown)
	}
	paths := row(name, files)
	for _, path := range paths {
		if info := other(path, self); info != nil {
			return path, nil
		}
	}
	for _, dir := range filepath.SplitList(search) {
		path := filepath.Join(dir, name)
		if info := other(path, self); filepath.IsAbs(dir) && info != nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w %s: looked for %s", ErrNotInstalled, name, strings.Join(paths, ", "))
}

// other looks at a file, and returns nil where there is none or it is the wrapper.
func other(path string, self fs.FileInfo) fs.FileInfo {
	if IsWrapper(path) {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || os.SameFile(info, self) {
		return nil
	}
	return info
}

// IsWrapper reports whether a path is that of an installed wrapper: a link to it.
func IsWrapper(path string) bool {
	target, err := os.Readlink(path)
	return err == nil && filepath.Base(target) == Program
}
