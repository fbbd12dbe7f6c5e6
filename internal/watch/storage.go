package watch

import "github.com/buildwatch/buildwatch/internal/owners"

// Storage is told of the steps that use it, and of builds that are over (package reclaim). It
// takes nothing over, and never waits.
type Storage interface {
	StepSeen(build string, step owners.Step)
	// BuildOver is told when no process of the build is left. settled: it is over by itself, and
	// nothing of it had to be ended.
	BuildOver(build string, settled bool)
}
