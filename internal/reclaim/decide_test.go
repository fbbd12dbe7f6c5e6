package reclaim

import "testing"

const (
	begun = 1_000_000_000
	ended = 2_000_000_000
)

// aJob is that of a build that was seen to use one layer.
func aJob() Job {
	return Job{
		Version: docVersion, Span: Span{begun, ended}, Containers: true,
		Layers: []Layer{{ID: hex('a'), Graph: "/var/lib/containers/storage", Driver: "overlay"}},
	}
}

func hex(digit byte) string {
	id := make([]byte, 64)
	for i := range id {
		id[i] = digit
	}
	return string(id)
}

func TestOnlyWhatIsTheBuildsIsRemoved(t *testing.T) {
	stage := Record{ID: hex('1'), Layer: hex('a'), Created: begun + 10, Stage: true}
	copied := Record{ID: hex('2'), Layer: hex('b'), Created: begun + 10, Stage: true} // of an instruction without a step
	alone := func(int64) bool { return false }
	between := func(r Record, created int64) Record { r.Created = created; return r }
	somebodys := func(r Record) Record { r.Stage = false; return r }
	with := func(change func(*Job)) Job {
		job := aJob()
		change(&job)
		return job
	}
	for name, row := range map[string]struct {
		job       Job
		record    Record
		doubt     func(int64) bool
		remove    bool
		why       Why
		concerned bool
	}{
		"a step's":                             {aJob(), stage, alone, true, WhyNone, true},
		"an instruction's":                     {aJob(), copied, alone, true, WhyNone, true},
		"made by buildah from":                 {aJob(), somebodys(copied), alone, false, WhyNone, false},
		"buildah run in a kept one":            {aJob(), somebodys(stage), alone, false, WhyNoStage, true},
		"older, and used":                      {aJob(), between(stage, begun-10_000_000), alone, false, WhyOlder, true},
		"older":                                {aJob(), between(copied, begun-10_000_000), alone, false, WhyNone, false},
		"later":                                {aJob(), between(copied, ended+1), alone, false, WhyNone, false},
		"made as the builder began":            {aJob(), between(copied, begun), alone, true, WhyNone, true},
		"made a moment before that":            {aJob(), between(copied, begun-1), alone, false, WhyNone, false},
		"a builder lives that was there":       {aJob(), copied, func(int64) bool { return true }, false, WhyDoubt, true},
		"a step's, and one lives":              {aJob(), stage, func(int64) bool { return true }, true, WhyNone, true},
		"another build lived and keeps":        {with(func(j *Job) { j.Others = []Other{{Span{begun - 5, begun + 20}, true}} }), copied, alone, false, WhyDoubt, true},
		"another build goes on":                {with(func(j *Job) { j.Others = []Other{{Span{begun + 5, 0}, true}} }), copied, alone, false, WhyDoubt, true},
		"another build is dead too":            {with(func(j *Job) { j.Others = []Other{{Span{begun - 5, begun + 20}, false}} }), copied, alone, true, WhyNone, true},
		"another build began later":            {with(func(j *Job) { j.Others = []Other{{Span{begun + 11, 0}, true}} }), copied, alone, true, WhyNone, true},
		"told to keep (--rm=false), no builds": {with(func(j *Job) { j.Containers = false }), stage, alone, false, WhyNone, false},
		"only to be told":                      {with(func(j *Job) { j.Look = true }), stage, alone, false, WhyLook, true},
	} {
		remove, why, concerned := Decide(row.job, row.record, row.doubt)
		if remove != row.remove || why != row.why || concerned != row.concerned {
			t.Errorf("%s: %v, %q, %v; want %v, %q, %v", name, remove, why, concerned, row.remove, row.why, row.concerned)
		}
	}
}
