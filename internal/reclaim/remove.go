package reclaim

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// thing is a directory or a file that a build has made, in a directory for temporary files.
type thing struct {
	path  string
	kind  Kind
	inode uint64 // 0 where it was not seen
	life  Span   // in which it was made
	// unseen: nobody saw it used. It is the build's if nobody else could have made it.
	unseen bool
}

// is reports whether a file of that mode is called as what builders make.
func (k Kind) is(path string, mode fs.FileMode) bool {
	switch {
	case mode.IsRegular():
		return k == KindTemporary && podman.IsBuilderFile(path, mode.Perm())
	case !mode.IsDir():
		return false
	}
	switch k {
	case KindBundle:
		return podman.IsBundle(path)
	case KindRequest:
		return podman.IsRequest(path)
	}
	return k == KindTemporary && (podman.IsBuilderTemporary(path) || podman.IsImageDirectory(path, mode.Perm()) && holdsBlobs(path))
}

// holdsBlobs reports whether there is nothing in a directory but an image's blobs.
func holdsBlobs(path string) bool {
	entries, err := os.ReadDir(path)
	return err == nil && !slices.ContainsFunc(entries, func(entry fs.DirEntry) bool {
		return !entry.Type().IsRegular() || !podman.IsBlob(entry.Name())
	})
}

// kindOf is what a file of that mode is called as; "" for nothing of a builder's.
func kindOf(path string, mode fs.FileMode) Kind {
	for _, kind := range []Kind{KindBundle, KindRequest, KindTemporary} {
		if kind.is(path, mode) {
			return kind
		}
	}
	return ""
}

// unseen are things that were made in the life of a builder, as builders make them, by the user that
// this is. Nobody saw the builder use them.
func (t tidier) unseen(job Job) (all []thing) {
	for _, parent := range t.parents(job) {
		entries, _ := os.ReadDir(parent)
		for _, entry := range entries {
			path := filepath.Join(parent, entry.Name())
			info, err := entry.Info()
			if err != nil || slices.Contains(job.Bundles, path) {
				continue
			}
			kind := kindOf(path, info.Mode())
			if st, ok := sys(info); kind == "" || kind == KindRequest && !job.Requests || !ok || int(st.Uid) != os.Geteuid() {
				continue
			}
			// What was changed after the builder's end is somebody's who lives.
			if born, known := bornAt(path); known && job.Span.Holds(born) && job.Span.Holds(max(born, info.ModTime().UnixMicro())) {
				all = append(all, thing{path: path, kind: kind, life: job.Span, unseen: true})
			}
		}
	}
	return all
}

// with is a tidier that looks for temporary files there as well.
func (t tidier) with(directories []string) tidier {
	t.temporary = append(slices.Clone(t.temporary), directories...)
	return t
}

// parents are the directories in which the build has made its own: that of a bundle may be one that its
// environment names.
func (t tidier) parents(job Job) []string {
	all := slices.Clone(t.temporary)
	for _, bundle := range job.Bundles {
		all = append(all, filepath.Dir(bundle))
	}
	if job.Request != nil {
		all = append(all, filepath.Dir(job.Request.Path))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// look says whether it is there and is the one that is meant.
func (d thing) look() (item Item, there bool) {
	info, err := os.Lstat(d.path)
	if err != nil {
		return Item{}, false
	}
	st, ok := sys(info)
	born, birth := bornAt(d.path)
	if !birth {
		born = info.ModTime().UnixMicro() // not before that
	}
	item = Item{Kind: d.kind, What: d.path, Created: born}
	switch {
	case !ok, !d.kind.is(d.path, info.Mode()), int(st.Uid) != os.Geteuid(),
		d.inode != 0 && st.Ino != d.inode, d.inode == 0 && born < d.life.From, d.inode == 0 && birth && d.life.To != 0 && born > d.life.To:
		item.Why = WhyReplaced
	case !mountedIn(d.path):
		item.Bytes = diskUse(d.path)
	}
	return item, true
}

// bornAt is when a file was made, where the file system keeps that.
func bornAt(path string) (usec int64, ok bool) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, unix.STATX_BTIME, &st)
	return st.Btime.Sec*1_000_000 + int64(st.Btime.Nsec)/1_000, err == nil && st.Mask&unix.STATX_BTIME != 0
}

// mountsIn are what is mounted in or on a directory, for the host.
func mountsIn(dir string) (all []string, err error) {
	mounts, err := procfs.GetMounts()
	for _, m := range mounts {
		if m.MountPoint == dir || strings.HasPrefix(m.MountPoint, dir+"/") {
			all = append(all, m.MountPoint)
		}
	}
	return all, err
}

// mountedIn reports whether anything is; in doubt it is.
func mountedIn(dir string) bool {
	mounts, err := mountsIn(dir)
	return err != nil || len(mounts) > 0
}

// unmountIn unmounts what a dead builder of root's has mounted in its directory, where nobody uses
// it: the source of a `RUN --mount=type=bind`, the context itself. Those of a rootless builder are in
// a namespace of their own, and go with the directory. What else is mounted there is somebody's.
func unmountIn(dir string) {
	mounts, _ := mountsIn(dir)
	for _, mount := range slices.Backward(mounts) {
		if podman.IsBuilderMount(dir, mount) {
			_ = unix.Unmount(mount, unix.UMOUNT_NOFOLLOW)
		}
	}
}

// remove removes it and what is in it. No link is followed, and nothing outside of it is met.
func (d thing) remove() error {
	parent, err := os.OpenRoot(filepath.Dir(d.path))
	if err != nil {
		return err
	}
	defer func() { _ = parent.Close() }()
	name := filepath.Base(d.path)
	if err := parent.RemoveAll(name); err == nil {
		return nil
	}
	// A bundle has directories that may not even be searched: for what is mounted on them.
	dir, err := parent.OpenRoot(name)
	if err != nil {
		return err
	}
	open(dir, ".", maxDepth)
	_ = dir.Close()
	return parent.RemoveAll(name)
}

// maxDepth is how deep a bundle may be.
const maxDepth = 16

// open makes directories below dir the user's to write, where they are the user's.
func open(dir *os.Root, name string, depth int) {
	if depth == 0 {
		return
	}
	file, err := dir.Open(name)
	if errors.Is(err, fs.ErrPermission) && dir.Chmod(name, 0o700) == nil {
		file, err = dir.Open(name)
	}
	if err != nil {
		return
	}
	_ = file.Chmod(0o700)
	entries, _ := file.ReadDir(-1)
	file.Close()
	for _, entry := range entries {
		if entry.IsDir() {
			open(dir, filepath.Join(name, entry.Name()), depth-1)
		}
	}
}

func sys(info fs.FileInfo) (*syscall.Stat_t, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}
