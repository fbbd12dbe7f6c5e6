package cli

import (
	"context"
	"time"

	"github.com/buildwatch/buildwatch/internal/reclaim"
)

// storagePruner removes from the caller's storage.
type storagePruner struct{}

func systemPruner() pruner { return storagePruner{} }

func (storagePruner) Find(ctx context.Context, before time.Time) ([]leftover, error) {
	items, err := reclaim.ForCaller().Find(ctx, before)
	return leftoversOf(items), err
}

func (storagePruner) Remove(ctx context.Context, before time.Time, shown []leftover) ([]leftover, error) {
	items := make([]reclaim.Item, len(shown))
	for i, one := range shown {
		items[i] = reclaim.Item{Kind: reclaim.Kind(one.Kind), What: one.What, Created: one.Created.UnixMicro()}
	}
	done, err := reclaim.ForCaller().Remove(ctx, before, items)
	return leftoversOf(done), err
}

func leftoversOf(items []reclaim.Item) []leftover {
	all := make([]leftover, len(items))
	for i, item := range items {
		all[i] = leftover{Kind: string(item.Kind), What: item.What, Bytes: item.Bytes, Created: time.UnixMicro(item.Created), Removed: item.Removed}
		if item.Why != reclaim.WhyNone {
			all[i].Kept = item.Why.Text()
		}
	}
	return all
}
