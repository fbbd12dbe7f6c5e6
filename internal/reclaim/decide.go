package reclaim

import "slices"

// Record is a working container, as the storage has it.
type Record struct {
	ID      string
	Layer   string
	Created int64 // in microseconds since the epoch
	// Stage: a build has made it, for a stage or an instruction. One of `buildah from` is none.
	Stage bool
	// Transient: it is listed where the next boot forgets it.
	Transient bool
}

// Decide says of a working container whether it is to be removed, why not, and whether the
// build has anything to do with it at all.
//
// A container is the build's if a step of it had that very root file system, or if it was made
// while the builder lived, for a stage, and nobody else was there who could have made it: then
// it belongs to an instruction without a step (COPY), which nobody sees. doubt reports whether a
// builder lives that did then.
func Decide(job Job, r Record, doubt func(created int64) bool) (remove bool, why Why, concerned bool) {
	seen := slices.ContainsFunc(job.Layers, func(l Layer) bool { return l.ID == r.Layer })
	inLife := job.Span.Holds(r.Created)
	switch {
	case !job.Containers, !seen && (!inLife || !r.Stage):
		return false, WhyNone, false
	case !r.Stage:
		return false, WhyNoStage, true
	case !inLife:
		return false, WhyOlder, true
	case seen:
	case job.doubts(r.Created, doubt):
		return false, WhyDoubt, true
	}
	if job.Look {
		return false, WhyLook, true
	}
	return true, WhyNone, true
}

// doubts reports whether somebody else could have made, or kept, what was made at that moment.
func (j Job) doubts(created int64, doubt func(created int64) bool) bool {
	return slices.ContainsFunc(j.Others, func(o Other) bool { return o.Keeps && o.Holds(created) }) || doubt(created)
}

// rivals reports whether somebody lives who could have made something that nobody keeps on purpose, and
// may use it.
func (j Job) rivals(created int64, lives func(created int64) bool) bool {
	return slices.ContainsFunc(j.Others, func(o Other) bool { return o.To == 0 && o.Holds(created) }) || lives(created)
}
