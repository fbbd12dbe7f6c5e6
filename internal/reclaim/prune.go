package reclaim

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// Leftovers are what dead builds of the caller's have left, seen by a daemon or not, in the
// storage that the caller's configuration names and where temporary files are. It is for who
// is asked before anything is removed: a container of a build that has ended in order and was
// told to keep it (--rm=false) is among them.
type Leftovers struct{ tidier }

// ForCaller looks for those of whoever runs this program.
func ForCaller() Leftovers {
	return Leftovers{tidier{tools(), lookAtProcesses, temporary(), nil, runtimeDirectories}}
}

// temporary are the directories in which builds make theirs.
func temporary() []string {
	all := []string{podman.TemporaryDirectory, "/tmp", podman.SecretDirectory}
	if dir := os.Getenv(podman.TemporaryVariable); cleanPath(dir) && !slices.Contains(all, dir) {
		all = append(all, dir)
	}
	return all
}

// Find lists what was made before a moment. What may be a living build's, or is in use, has a
// reason to stay.
func (l Leftovers) Find(ctx context.Context, before time.Time) ([]Item, error) {
	running, err := l.look()
	if err != nil {
		return nil, err
	}
	items, err := l.find(ctx, before.UnixMicro(), running, func(store, Record) {})
	return items, err
}

// Remove removes those of the items that are still to be found, and may be removed, and says
// of each of them what came of it.
func (l Leftovers) Remove(ctx context.Context, before time.Time, items []Item) ([]Item, error) {
	running, err := l.look()
	if err != nil {
		return nil, err
	}
	var ids []string
	var in store
	found, err := l.find(ctx, before.UnixMicro(), running, func(s store, r Record) { in = s })
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(now Item) bool {
		return !slices.ContainsFunc(items, func(shown Item) bool { return shown.What == now.What && shown.Created == now.Created })
	})
	for _, item := range found {
		if item.Kind == KindContainer && item.Why == WhyNone {
			ids = append(ids, item.What)
		}
	}
	var left []string
	if len(ids) > 0 {
		left, err = l.remove(ctx, in, ids)
	}
	for i := range found {
		item := &found[i]
		switch {
		case item.Why != WhyNone:
		case item.Kind == KindContainer && slices.Contains(left, item.What):
			item.Why = WhyFailed
		case item.Kind != KindContainer:
			item.Why = l.removeThing(ctx, thing{path: item.What, kind: item.Kind})
		}
		item.Removed = item.Why == WhyNone
	}
	return found, err
}

// find looks at storage and directories. each is called with every container of a build's.
func (l Leftovers) find(ctx context.Context, before int64, running processes, each func(store, Record)) ([]Item, error) {
	var items []Item
	configured, ok, err := l.configured(ctx)
	if err != nil {
		return nil, err
	}
	if s := configured.store; ok {
		records, err := s.records()
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if !r.Stage || r.Created >= before {
				continue
			}
			each(s, r)
			item := Item{Kind: KindContainer, What: r.ID, Created: r.Created, Bytes: s.size(r)}
			switch {
			case running.builtAt(r.Created):
				item.Why = WhyDoubt
			case running.use(s.Layer(r.Layer)):
				item.Why = WhyUsed
			}
			items = append(items, item)
		}
	}
	for _, parent := range l.with(configured.temporary).parents(Job{}) {
		entries, _ := os.ReadDir(parent)
		for _, entry := range entries {
			if item, is := l.thingLeft(filepath.Join(parent, entry.Name()), before, running); is {
				items = append(items, item)
			}
		}
	}
	return items, nil
}

// thingLeft looks at one directory or file, and reports whether a build of the caller's has made it.
func (l Leftovers) thingLeft(path string, before int64, running processes) (item Item, is bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return Item{}, false
	}
	kind := kindOf(path, info.Mode())
	if kind == "" {
		return Item{}, false
	}
	item, there := thing{path: path, kind: kind}.look()
	if !there || item.Why == WhyReplaced || item.Created >= before {
		return Item{}, false
	}
	switch {
	case running.maker(kind)(item.Created):
		item.Why = WhyDoubt
	case running.use(path):
		item.Why = WhyUsed
	}
	return item, true
}

// Text says to people why something stays.
func (w Why) Text() string {
	if text := words[w]; text != "" {
		return text
	}
	return string(w)
}
