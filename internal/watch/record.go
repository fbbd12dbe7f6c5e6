package watch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/request"
)

// record is what a daemon must know of a build that an earlier one has placed.
// It is kept on the scope itself, see package scopes.
type record struct {
	Version     int             `json:"v"`
	ID          string          `json:"id"`
	UID         uint32          `json:"uid"`
	CreatedUSec int64           `json:"created_usec"` // since the epoch
	StartedUSec int64           `json:"started_usec"` // the same moment on CLOCK_MONOTONIC
	Mode        api.Mode        `json:"mode"`
	Owner       proc.Identity   `json:"owner"`             // the builder
	Waiters     []proc.Identity `json:"waiters,omitempty"` // see owner
	Command     string          `json:"command"`
	Spared      bool            `json:"spared,omitempty"` // the owner is never signalled
	Ending      api.Reason      `json:"ending,omitempty"` // the build is to end for that: its next step is refused
	// Request is the API request that the build belongs to, if it came through one.
	Request *request.Request `json:"request,omitempty"`

	// Of ModeRun only.
	Name         string `json:"name,omitempty"`
	DeadlineUSec int64  `json:"deadline_usec,omitempty"` // on CLOCK_MONOTONIC, 0 for none
}

const recordVersion = 1

func (r record) encode() []byte {
	r.Version = recordVersion
	content, err := json.Marshal(r)
	if err != nil {
		panic(err) // a struct of strings and integers always marshals
	}
	return content
}

// decodeRecord reads what encode wrote, and nothing else.
func decodeRecord(content []byte) (record, error) {
	var r record
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return record{}, fmt.Errorf("record: %w", err)
	}
	switch {
	case decoder.More():
		return record{}, errors.New("record: more than one document")
	case r.Version != recordVersion:
		return record{}, fmt.Errorf("record of version %d, this is version %d", r.Version, recordVersion)
	case !validID(r.ID):
		return record{}, fmt.Errorf("record: bad ID %q", r.ID)
	case r.Owner.PID < 0, r.Owner.PID == 0 && r.Mode != api.ModeUnknown: // of orphans it is not known
		return record{}, errors.New("record: no owner")
	case len(r.Waiters) > maxWaiters:
		return record{}, fmt.Errorf("record: %d waiters", len(r.Waiters))
	case r.Request != nil && (len(r.Request.Dirs) > request.MaxDirs || len(r.Request.Conns) > request.MaxConns):
		return record{}, errors.New("record: a request without bounds")
	case !slices.Contains(api.Modes(), r.Mode):
		return record{}, fmt.Errorf("record: unknown mode %q", r.Mode)
	case r.Ending != "" && !slices.Contains(api.Reasons(), r.Ending):
		return record{}, fmt.Errorf("record: unknown reason %q", r.Ending)
	case r.Name != "" && limits.CheckName(r.Name) != nil:
		return record{}, errors.New("record: bad name")
	case r.DeadlineUSec < 0 || r.StartedUSec < 0:
		return record{}, fmt.Errorf("record: deadline %d, started %d", r.DeadlineUSec, r.StartedUSec)
	}
	return r, nil
}

// outermost is the process that the user has started; of a run, the command that was
// given to buildwatchctl, which waits for it.
func (r record) outermost() proc.Identity {
	if n := len(r.Waiters); n > 0 && r.Mode != api.ModeRun {
		return r.Waiters[n-1]
	}
	return r.Owner
}

// key tells the build from every other.
func (r record) key() ownerKey {
	key := ownerKey{owner: r.Owner}
	if r.Request != nil {
		key.request = r.Request.Key()
	}
	return key
}

func (r record) created() time.Time { return time.UnixMicro(r.CreatedUSec) }
