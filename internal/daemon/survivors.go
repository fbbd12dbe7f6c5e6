package daemon

import (
	"context"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/survivors"
	"github.com/buildwatch/buildwatch/internal/watch"
)

// examiner makes a survivors.Examiner what package watch asks for.
type examiner struct{ *survivors.Examiner }

func (e examiner) Open(uid uint32) watch.Inspection { return e.Examiner.Open(uid) }

func (e examiner) Helpers(ctx context.Context, uid uint32, builders []proc.Identity, roots []uint32) ([]watch.Helper, error) {
	found, err := e.Examiner.Helpers(ctx, uid, builders, roots)
	helpers := make([]watch.Helper, len(found))
	for i, h := range found {
		helpers[i] = h
	}
	return helpers, err
}
