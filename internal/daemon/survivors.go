package daemon

import (
	"context"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/processes"
	"github.com/buildwatch/buildwatch/internal/survivors"
)

// examiner makes a survivors.Examiner what package processes asks for.
type examiner struct{ *survivors.Examiner }

func (e examiner) Open(uid uint32) processes.Inspection { return e.Examiner.Open(uid) }

func (e examiner) Helpers(ctx context.Context, uid uint32, builders []proc.Identity, roots []uint32) ([]processes.Helper, error) {
	found, err := e.Examiner.Helpers(ctx, uid, builders, roots)
	helpers := make([]processes.Helper, len(found))
	for i, h := range found {
		helpers[i] = h
	}
	return helpers, err
}
