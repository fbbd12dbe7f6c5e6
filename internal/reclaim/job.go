package reclaim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/buildwatch/buildwatch/internal/podman"
)

// Span is a stretch of time, in microseconds since the epoch.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to,omitempty"` // 0: it goes on
}

// Holds reports whether a moment is in the span.
func (s Span) Holds(at int64) bool { return at >= s.From && (s.To == 0 || at <= s.To) }

// Other is another build of the same user, that lived beside this one.
type Other struct {
	Span
	// Keeps: it lives, or may have kept working containers on purpose.
	Keeps bool `json:"keeps,omitempty"`
}

// Dir is a directory that was seen: another one by the same name is not meant.
type Dir struct {
	Path  string `json:"path"`
	Inode uint64 `json:"inode"`
}

// Job says what a dead build was seen to use.
type Job struct {
	Version int  `json:"v"`
	Span    Span `json:"span"` // of the builder's life
	// Containers: the builder makes a working container for each stage or instruction, and removes
	// them itself when it ends in order. Else, as for `buildah run`, they are somebody's.
	Containers bool `json:"containers,omitempty"`
	// Configured: no step of it was seen, so what it has made is looked for in the storage that the
	// user's configuration names.
	Configured bool `json:"configured,omitempty"`
	// Requests: it was an API service, whose requests' directories nobody needs.
	Requests bool     `json:"requests,omitempty"`
	Layers   []Layer  `json:"layers,omitempty"`
	Bundles  []string `json:"bundles,omitempty"`
	Request  *Dir     `json:"request,omitempty"`
	Others   []Other  `json:"others,omitempty"`
	// Look: nothing is to be removed, only told.
	Look bool `json:"look,omitempty"`
	// Prune: it is not about one build, but about all that dead ones have left.
	Prune *Pruning `json:"prune,omitempty"`
}

// Pruning is what root asks a helper for, in place of the user: see Leftovers.
type Pruning struct {
	Before int64 `json:"before"` // in microseconds since the epoch
	// Remove are those to be removed, of those that were found; nil where none is.
	Remove []Item `json:"remove,omitempty"`
}

// Kind is what an item is.
type Kind string

// Kinds.
const (
	KindContainer Kind = "container"
	KindBundle    Kind = "bundle"
	KindRequest   Kind = "request"
	KindTemporary Kind = "temporary" // another directory, or a file, that a builder makes for itself
)

// Why says why an item was not removed.
type Why string

// The reasons.
const (
	WhyNone     Why = ""
	WhyLook     Why = "look"     // nothing was to be removed
	WhyOlder    Why = "older"    // it was there before the build
	WhyNoStage  Why = "no_stage" // no build's stage: somebody has made it by `buildah from`
	WhyDoubt    Why = "doubt"    // another build lived when it was made
	WhyUsed     Why = "used"     // a process uses it
	WhyFailed   Why = "failed"   // podman could not remove it
	WhyReplaced Why = "replaced" // another directory by that name
	WhyMounted  Why = "mounted"  // something is mounted in it
	WhyNoTool   Why = "no_tool"  // neither podman nor buildah is there
	WhyUnseen   Why = "unseen"   // nobody saw the build that it belongs to
)

// Item is one thing that a build has left.
type Item struct {
	Kind    Kind   `json:"kind"`
	What    string `json:"what"` // a container's ID, a path
	Bytes   int64  `json:"bytes"`
	Created int64  `json:"created,omitempty"` // in microseconds since the epoch
	Removed bool   `json:"removed,omitempty"`
	Why     Why    `json:"why,omitempty"`
}

// Result is what the helper has done.
type Result struct {
	Version int    `json:"v"`
	Items   []Item `json:"items,omitempty"`
	Error   string `json:"error,omitempty"`
}

const docVersion = 1

// Bounds on what is kept of a build, and on what a helper may say.
const (
	maxLayers  = 256
	maxBundles = 256
	maxOthers  = 64
	maxItems   = 1024
	maxDoc     = 512 << 10
)

func encode(doc any) []byte {
	content, err := json.Marshal(doc)
	if err != nil {
		panic(err) // structs of strings and integers always marshal
	}
	return content
}

// decode reads one document, and nothing else.
func decode(from io.Reader, doc any) error {
	content, err := io.ReadAll(io.LimitReader(from, maxDoc+1))
	switch {
	case err != nil:
		return err
	case len(content) > maxDoc:
		return errors.New("a document that is too long")
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(doc); err != nil {
		return err
	}
	if decoder.More() {
		return errors.New("more than one document")
	}
	return nil
}

// check refuses what the daemon does not send.
func (j Job) check() error {
	switch {
	case j.Version != docVersion:
		return fmt.Errorf("job of version %d, this is version %d", j.Version, docVersion)
	case j.Prune != nil && len(j.Prune.Remove) > maxItems, len(j.Layers) > maxLayers, len(j.Bundles) > maxBundles, len(j.Others) > maxOthers:
		return errors.New("job without bounds")
	}
	for _, layer := range j.Layers {
		if !layer.valid() {
			return fmt.Errorf("job: bad layer %q", layer.ID)
		}
	}
	for _, bundle := range j.Bundles {
		if !cleanPath(bundle) {
			return fmt.Errorf("job: bad bundle %q", bundle)
		}
	}
	if j.Request != nil && !cleanPath(j.Request.Path) {
		return fmt.Errorf("job: bad request %q", j.Request.Path)
	}
	return nil
}

// check refuses what the helper does not say: it is a user's process.
func (r Result) check() error {
	if r.Version != docVersion || len(r.Items) > maxItems || len(r.Error) > maxPath {
		return errors.New("the helper's answer is out of bounds")
	}
	for _, item := range r.Items {
		known := item.Kind == KindContainer && podman.IsLayer(item.What) ||
			(item.Kind == KindBundle || item.Kind == KindRequest || item.Kind == KindTemporary) && cleanPath(item.What)
		if !known || item.Bytes < 0 || item.Created < 0 || len(item.Why) > 16 {
			return errors.New("the helper's answer has an item of no kind")
		}
	}
	return nil
}
