package reclaim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/buildwatch/buildwatch/internal/failpoint"
)

// ledger keeps entries in a directory of the daemon's own, a file each: they outlive the
// daemon, and a loss of power.
type ledger struct {
	dir  string // "" keeps nothing
	sync func(*os.File) error
}

const (
	entrySuffix    = ".json"
	maxEntriesKept = 4096
)

func openLedger(dir string) (ledger, error) {
	if dir == "" {
		return ledger{}, errors.New("there is no directory for state")
	}
	dir = filepath.Join(dir, "reclaim")
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return ledger{}, err
	}
	return ledger{dir, (*os.File).Sync}, nil
}

func (l ledger) path(k key) string {
	build := k.build
	if build == "" {
		build = "builder"
	}
	return filepath.Join(l.dir, fmt.Sprintf("%s-%d-%d%s", build, k.builder.PID, k.builder.Start, entrySuffix))
}

// keep writes the entry: whole, or not at all.
func (l ledger) keep(e *entry) error {
	if l.dir == "" {
		return nil
	}
	e.Version = docVersion
	file, err := os.CreateTemp(l.dir, "new-*")
	if err != nil {
		return err
	}
	_, err = file.Write(encode(e))
	err = errors.Join(err, l.sync(file), file.Close(), failpoint.At(failpoint.Witness))
	if err == nil {
		err = os.Rename(file.Name(), l.path(e.key()))
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

func (l ledger) drop(k key) {
	if l.dir != "" {
		_ = os.Remove(l.path(k))
	}
}

// load reads the entries that an earlier daemon has kept. What it can't read it names, and
// leaves.
func (l ledger) load() (all []*entry, failed error) {
	if l.dir == "" {
		return nil, nil
	}
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		path := filepath.Join(l.dir, file.Name())
		if !strings.HasSuffix(file.Name(), entrySuffix) {
			_ = os.Remove(path) // half written
			continue
		}
		e, err := readEntry(path)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", path, err))
		} else if len(all) < maxEntriesKept {
			all = append(all, e)
		}
	}
	return all, failed
}

func readEntry(path string) (*entry, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var e entry
	if err := decode(file, &e); err != nil {
		return nil, err
	}
	return &e, e.check()
}
