package history

import (
	"context"
	"strconv"
	"time"

	"github.com/buildwatch/buildwatch/api"
)

// storageFields are those of the entry on what a build had left in storage, besides ID and
// UID. There may be several of one build: each says all that has been done so far.
var storageFields = []field{
	{"RECLAIMED", "how many things of it were removed from storage", func(e api.Ended) string { return strconv.Itoa(e.Reclaimed.Removed) }, whole(func(r *api.Reclaimed) *int { return &r.Removed })},
	{"RECLAIMED_BYTES", "on the disk, of these", func(e api.Ended) string { return strconv.FormatInt(e.Reclaimed.Bytes, 10) }, func(e *api.Ended, text string) (err error) {
		reclaimed(e).Bytes, err = strconv.ParseInt(text, 10, 64)
		return err
	}},
	{"RECLAIM_SECONDS", "how long that took", func(e api.Ended) string { return seconds(time.Duration(e.Reclaimed.Duration).Seconds()) }, func(e *api.Ended, text string) error {
		took, err := strconv.ParseFloat(text, 64)
		reclaimed(e).Duration = api.Seconds(took * float64(time.Second))
		return err
	}},
	{"LEFT", "how many things of it stay", func(e api.Ended) string { return strconv.Itoa(e.Reclaimed.Left) }, whole(func(r *api.Reclaimed) *int { return &r.Left })},
	{"LEFT_WHY", "why they do", func(e api.Ended) string { return e.Reclaimed.Why }, func(e *api.Ended, text string) error {
		reclaimed(e).Why = text
		return nil
	}},
}

func reclaimed(e *api.Ended) *api.Reclaimed {
	if e.Reclaimed == nil {
		e.Reclaimed = &api.Reclaimed{}
	}
	return e.Reclaimed
}

func whole(of func(*api.Reclaimed) *int) func(*api.Ended, string) error {
	return func(e *api.Ended, text string) (err error) {
		*of(reclaimed(e)), err = strconv.Atoi(text)
		return err
	}
}

// StorageFields returns what the entry says of what the build had left, without the prefix of
// the names.
func StorageFields(build string, uid uint32, r api.Reclaimed) map[string]string {
	e := api.Ended{ID: build, User: api.User{UID: uid}, Reclaimed: &r}
	all := map[string]string{"ID": e.ID, "UID": decimal(uid)}
	for _, f := range storageFields {
		if text := f.get(e); text != "" {
			all[f.name] = text
		}
	}
	return all
}

// Reader is Read.
type Reader func(ctx context.Context, q Query, each func(api.Ended) error) error

// AddStorage adds to ended builds, oldest first, what became of what they had left in storage.
func AddStorage(ctx context.Context, q Query, read Reader, all []api.Ended) error {
	if len(all) == 0 {
		return nil
	}
	q.Storage, q.Last, q.Until = true, 0, "" // it comes after the build's end
	last := map[string]*api.Reclaimed{}
	err := read(ctx, q, func(e api.Ended) error {
		if e.Reclaimed != nil {
			last[e.ID] = e.Reclaimed
		}
		return nil
	})
	for i := range all {
		all[i].Reclaimed = last[all[i].ID]
	}
	return err
}
