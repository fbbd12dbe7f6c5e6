package reclaim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// store is a storage of the helper's user. What it reads of it is written by renames, so no
// lock is needed for a look.
type store struct{ podman.Storage }

const maxStoreFile = 64 << 20

// containerDoc is an entry of containers.json and volatile-containers.json.
type containerDoc struct {
	ID      string    `json:"id"`
	Layer   string    `json:"layer"`
	Created time.Time `json:"created"`
}

// records are the working containers of the storage: those that buildah has made.
func (s store) records() ([]Record, error) {
	var all []Record
	transient := s.TransientList(os.Geteuid())
	for _, list := range append(s.ContainerLists(), transient) {
		var docs []containerDoc
		err := readJSON(list, &docs)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, doc := range docs {
			if !podman.IsLayer(doc.ID) || !podman.IsLayer(doc.Layer) {
				continue
			}
			stage, ok := s.stage(doc.ID)
			if ok {
				all = append(all, Record{ID: doc.ID, Layer: doc.Layer, Created: doc.Created.UnixMicro(), Stage: stage, Transient: list == transient})
			}
		}
	}
	return all, nil
}

// there are those of the containers that the storage has, and whether it has some of them only
// until the next boot.
func (s store) there(ids []string) (left []string, transient bool, err error) {
	records, err := s.records()
	if err != nil {
		return ids, false, err
	}
	for _, r := range records {
		if slices.Contains(ids, r.ID) {
			left, transient = append(left, r.ID), transient || r.Transient
		}
	}
	return left, transient, nil
}

// stage reports whether a build has made the container, for a stage or an instruction. ok is
// false of one that buildah has not made. In doubt it is no build's.
//
// A build gives its working containers the build's arguments, if only none, where `buildah
// from` of 1.39.3 gives null; that of 1.28.2 gives none as well. But `from` has no flag for an
// identity label, which then is off; a build's is on unless it was told otherwise, and not set
// by older API services.
//
// Source: containers/buildah, imagebuildah/stage_executor.go, prepare; cmd/buildah/from.go,
// fromCmd: BuilderOptions; pkg/parse/parse.go, CommonBuildOptionsFromFlagSet; go.podman.io/image,
// types/types.go, OptionalBool. A look at 1.28.2, 1.39.3.
func (s store) stage(id string) (stage, ok bool) {
	var state struct {
		Type string          `json:"type"`
		ID   string          `json:"container-id"`
		Args json.RawMessage `json:"Args"`

		Options struct {
			IdentityLabel int
		} `json:"CommonBuildOpts"`
	}
	err := readJSON(s.BuilderState(id), &state)
	if err != nil || state.ID != id {
		return false, false
	}
	return len(state.Args) > 0 && state.Args[0] == '{' && state.Options.IdentityLabel != optionalFalse, true
}

// optionalFalse is types.OptionalBoolFalse.
const optionalFalse = 2

// size is how much the container's own layer takes on the disk, as far as that can be read, and
// counted in a moment.
func (s store) size(r Record) int64 {
	return diskUse(s.LayerFiles(r.Layer)) + diskUse(filepath.Join(s.Containers(), r.ID))
}

const (
	maxEntries = 100_000
	maxWalk    = 500 * time.Millisecond
)

// diskUse is what a tree takes on the disk.
func diskUse(dir string) (bytes int64) {
	entries, until := 0, time.Now().Add(maxWalk)
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // what can't be read is not counted
		}
		if entries++; entries > maxEntries || time.Now().After(until) {
			return fs.SkipAll
		}
		if info, err := entry.Info(); err == nil {
			if st, ok := sys(info); ok {
				bytes += st.Blocks * 512
			}
		}
		return nil
	})
	return bytes
}

// readJSON reads a file of the user's own; a link or a FIFO in its place is none.
func readJSON(path string, into any) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > maxStoreFile {
		return fmt.Errorf("%s is no file of a storage's", path)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxStoreFile))
	if err != nil {
		return err
	}
	if len(content) == 0 {
		return nil
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// storesOf are the storages that a job's layers lie in.
func storesOf(job Job) (stores []store) {
	for _, layer := range job.Layers {
		if s := (store{podman.Storage{Graph: layer.Graph, Driver: layer.Driver}}); !slices.Contains(stores, s) {
			stores = append(stores, s)
		}
	}
	return stores
}
