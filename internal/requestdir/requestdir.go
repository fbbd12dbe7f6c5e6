// Package requestdir lists the directories in which podman's API service keeps the
// contexts of build requests. It opens none of them: only the directory that they are in.
package requestdir

import (
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Prefix begins such a directory's name. The handler makes it by os.MkdirTemp in
// $TMPDIR, which podman sets to DefaultParent where it is not set.
//
// Source: containers/podman, pkg/api/handlers/compat/images_build.go, BuildImage;
// cmd/podman/root.go.
const (
	Prefix        = "libpod_builder"
	DefaultParent = "/var/tmp"
)

// maxEntries bounds the search: in a parent with more nothing is found.
const maxEntries = 4096

// List returns the paths of those in parent that are the user's.
func List(parent string, uid uint32) []string {
	dir, err := os.Open(parent)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxEntries + 1)
	if len(names) > maxEntries {
		return nil
	}
	var found []string
	for _, name := range names {
		if !strings.HasPrefix(name, Prefix) {
			continue
		}
		full := path.Join(parent, name)
		var st unix.Stat_t
		if err := unix.Lstat(full, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Uid == uid {
			found = append(found, full)
		}
	}
	return found
}
