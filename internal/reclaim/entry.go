package reclaim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/buildwatch/buildwatch/internal/podman"
	"github.com/buildwatch/buildwatch/internal/proc"
)

// Builder is what is known of the process that runs a build's steps.
type Builder struct {
	proc.Identity
	UID     uint32
	Command string // program and verb, such as "podman build"
	// Keeps: it was told to leave its working containers (--rm=false), or may have been.
	Keeps bool
	// Serves: it is the API service. Each of its requests is a build, and it outlives them.
	Serves bool
}

// Step is a step that was seen.
type Step struct {
	Build   string // its ID
	Builder Builder
	Monitor proc.Identity
	// Request is the directory that the service has made for the request, if it is known.
	Request     *Dir
	RequestUSec int64 // when it was made, since the epoch
}

// start is when the builder began to work for the build.
func (s Step) start() int64 {
	if s.RequestUSec > 0 {
		return s.RequestUSec
	}
	return s.Builder.start()
}

func (b Builder) start() int64 {
	start, err := startedAt(b.Start)
	if err != nil {
		return time.Now().UnixMicro()
	}
	return start
}

func entryOf(build string, b Builder, boot string, from int64) entry {
	return entry{
		Build: build, UID: b.UID, Boot: boot, Builder: b.Identity, Command: b.Command, Keeps: b.Keeps, Serves: b.Serves,
		Span: Span{From: from}, Seen: time.Now().UnixMicro(),
	}
}

// key tells the entries of one user apart.
type key struct {
	build   string
	builder proc.Identity
}

// entry is what is kept of one builder in one build: in memory, and in a file until nothing
// is left of it.
type entry struct {
	Version int           `json:"v"`
	Build   string        `json:"build"` // "" where no step of the builder's was seen
	UID     uint32        `json:"uid"`
	Boot    string        `json:"boot"` // the kernel's boot ID: after another one no builder lives
	Builder proc.Identity `json:"builder"`
	Command string        `json:"command"`
	Keeps   bool          `json:"keeps,omitempty"`
	Serves  bool          `json:"serves,omitempty"`
	// Span is the builder's life, or that of the request; Seen the last moment at which it was
	// seen alive. Away: then the daemon was stopped, in order.
	Span Span  `json:"span"`
	Seen int64 `json:"seen"`
	Away bool  `json:"away,omitempty"`

	Layers  []Layer  `json:"layers,omitempty"`
	Bundles []string `json:"bundles,omitempty"`
	Request *Dir     `json:"request,omitempty"`
	Others  []Other  `json:"others,omitempty"` // those that have ended
	Done    Sum      `json:"done,omitzero"`    // about it, so far
}

func (e *entry) key() key { return key{e.Build, e.Builder} }

// use adds what a step was seen to use. The last ones count where there are too many: the
// working containers of earlier steps are gone from storage, or kept on purpose.
func (e *entry) use(w Witness) {
	if !slices.Contains(e.Layers, w.Layer) {
		e.Layers = lastOf(append(e.Layers, w.Layer), maxLayers)
	}
	if !slices.Contains(e.Bundles, w.Bundle) {
		e.Bundles = lastOf(append(e.Bundles, w.Bundle), maxBundles)
	}
}

// beside notes a build that has ended.
func (e *entry) beside(o Other) {
	if o.Keeps && (e.Span.To == 0 || o.From <= e.Span.To) && (o.To == 0 || o.To >= e.Span.From) {
		e.Others = lastOf(append(e.Others, o), maxOthers)
	}
}

// unwatched notes a time in which nobody looked for builders: others may have kept something.
func (e *entry) unwatched(from, to int64) {
	if from < to {
		e.beside(Other{Span{from, to}, true})
	}
}

func lastOf[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

// job is what a helper is to do for the entry. live are the other builders of the user.
func (e *entry) job(live []Other, look bool) Job {
	service := e.Serves && e.Build == "" // what its requests make may be asked for
	containers := podman.MakesStages(e.Command) && !e.Keeps && !service
	return Job{
		Version: docVersion, Span: e.Span, Look: look,
		Containers: containers, Configured: containers && len(e.Layers) == 0, Requests: service,
		Layers: e.Layers, Bundles: e.Bundles, Request: e.Request,
		Others: lastOf(append(slices.Clone(e.Others), live...), maxOthers),
	}
}

// check refuses an entry that the daemon has not written.
func (e *entry) check() error {
	job := e.job(nil, false)
	switch {
	case e.Version != docVersion:
		return fmt.Errorf("entry of version %d, this is version %d", e.Version, docVersion)
	case e.Build != "" && len(e.Build) != buildIDLen, e.Builder.PID <= 0, e.Span.From <= 0:
		return errors.New("entry of no build")
	}
	return job.check()
}

const buildIDLen = 8
