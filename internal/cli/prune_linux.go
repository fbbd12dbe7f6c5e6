package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/buildwatch/buildwatch/internal/reclaim"
)

// leftovers are package reclaim's, of who calls or of another user.
type leftovers interface {
	Find(ctx context.Context, before time.Time) ([]reclaim.Item, error)
	Remove(ctx context.Context, before time.Time, items []reclaim.Item) ([]reclaim.Item, error)
}

// storagePruner removes from a user's storage.
type storagePruner struct{ leftovers }

// systemPruner is that of who calls. That of root is the helper, too, where it is installed: there
// is more to be given back than what is in storage.
func systemPruner() pruner {
	if helper, err := helperProgram(); err == nil && os.Geteuid() == 0 {
		return storagePruner{reclaim.OfUser{Program: helper}}
	}
	return storagePruner{reclaim.ForCaller()}
}

// helperProgram is the path of the helper.
func helperProgram() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	helper := filepath.Join(filepath.Dir(exe), "..", "libexec", "buildwatch", "buildwatch-reclaim")
	_, err = os.Stat(helper)
	return helper, err
}

// systemPrunerOf is that of a user, by name or UID.
func systemPrunerOf(name string) (pruner, error) {
	uid, err := uidOf(name)
	if err != nil {
		return nil, err
	}
	if int(uid) == os.Geteuid() {
		return systemPruner(), nil
	}
	helper, err := helperProgram()
	if err != nil {
		return nil, err
	}
	return storagePruner{reclaim.OfUser{UID: uid, Program: helper}}, nil
}

func uidOf(name string) (uint32, error) {
	found, err := user.Lookup(name)
	if err != nil {
		if found, err = user.LookupId(name); err != nil {
			return 0, fmt.Errorf("there is no user %q", name)
		}
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	return uint32(uid), err
}

// builders are the users that can build: root, and those who have subordinate UIDs.
//
// Source: subuid(5).
func builders() ([]string, error) {
	names := []string{"root"}
	file, err := os.Open("/etc/subuid")
	if errors.Is(err, os.ErrNotExist) {
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), ":")
		if _, err := uidOf(name); err == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, lines.Err()
}

func (p storagePruner) Find(ctx context.Context, before time.Time) ([]leftover, error) {
	items, err := p.leftovers.Find(ctx, before)
	return each(items, leftoverOf), err
}

func (p storagePruner) Remove(ctx context.Context, before time.Time, shown []leftover) ([]leftover, error) {
	done, err := p.leftovers.Remove(ctx, before, each(shown, func(one leftover) reclaim.Item {
		return reclaim.Item{Kind: reclaim.Kind(one.Kind), What: one.What, Created: one.Created.UnixMicro()}
	}))
	return each(done, leftoverOf), err
}

func leftoverOf(item reclaim.Item) leftover {
	l := leftover{Kind: string(item.Kind), What: item.What, Bytes: item.Bytes, Created: time.UnixMicro(item.Created), Removed: item.Removed}
	if item.Why != reclaim.WhyNone {
		l.Kept = item.Why.Text()
	}
	return l
}
