package owners

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

// Record is what a daemon must know of a build that an earlier one has placed.
// It is kept on the scope itself, see package scopes.
type Record struct {
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

// Encode writes it down.
func (r Record) Encode() []byte {
	r.Version = recordVersion
	content, err := json.Marshal(r)
	if err != nil {
		panic(err) // a struct of strings and integers always marshals
	}
	return content
}

// Decode reads what Encode wrote, and nothing else.
func Decode(content []byte) (Record, error) {
	var r Record
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return Record{}, fmt.Errorf("record: %w", err)
	}
	switch {
	case decoder.More():
		return Record{}, errors.New("record: more than one document")
	case r.Version != recordVersion:
		return Record{}, fmt.Errorf("record of version %d, this is version %d", r.Version, recordVersion)
	case !validID(r.ID):
		return Record{}, fmt.Errorf("record: bad ID %q", r.ID)
	case r.Owner.PID < 0, r.Owner.PID == 0 && r.Mode != api.ModeUnknown: // of orphans it is not known
		return Record{}, errors.New("record: no owner")
	case len(r.Waiters) > maxWaiters:
		return Record{}, fmt.Errorf("record: %d waiters", len(r.Waiters))
	case r.Request != nil && (len(r.Request.Dirs) > request.MaxDirs || len(r.Request.Conns) > request.MaxConns):
		return Record{}, errors.New("record: a request without bounds")
	case !slices.Contains(api.Modes(), r.Mode):
		return Record{}, fmt.Errorf("record: unknown mode %q", r.Mode)
	case r.Ending != "" && !slices.Contains(api.Reasons(), r.Ending):
		return Record{}, fmt.Errorf("record: unknown reason %q", r.Ending)
	case r.Name != "" && limits.CheckName(r.Name) != nil:
		return Record{}, errors.New("record: bad name")
	case r.DeadlineUSec < 0 || r.StartedUSec < 0:
		return Record{}, fmt.Errorf("record: deadline %d, started %d", r.DeadlineUSec, r.StartedUSec)
	}
	if r.Request != nil && r.Request.Service == (proc.Identity{}) && r.Request.Key() != "" {
		r.Request.Service = r.Owner // an earlier daemon has not written it down
	}
	return r, nil
}

// Outermost is the process that the user has started; of a run, the command that was
// given to buildwatchctl, which waits for it.
func (r Record) Outermost() proc.Identity {
	if n := len(r.Waiters); n > 0 && r.Mode != api.ModeRun {
		return r.Waiters[n-1]
	}
	return r.Owner
}

// Key tells the build from every other.
func (r Record) Key() Key {
	key := Key{Owner: r.Owner}
	if r.Request != nil {
		key.Request = r.Request.Key()
	}
	return key
}

// NewRecord is that of a build of the owner which begins now.
func NewRecord(id string, o *Owner, uid uint32) Record {
	r := Record{
		ID: id, UID: uid, CreatedUSec: time.Now().UnixMicro(), Mode: o.Mode,
		Owner: o.Identity, Waiters: o.identities(), Command: o.Command, Spared: o.Spared,
	}
	if o.Request != nil {
		short := o.Request.Short()
		r.Request = &short
	}
	return r
}

// Builders are the owner and who waits for it.
func (r Record) Builders() []proc.Identity { return append([]proc.Identity{r.Owner}, r.Waiters...) }

// Created is when the build began.
func (r Record) Created() time.Time { return time.UnixMicro(r.CreatedUSec) }
