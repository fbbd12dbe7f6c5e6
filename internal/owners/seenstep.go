package owners

import (
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/request"
)

// Step is one RUN step, and who runs it.
type Step struct {
	// Builder is the process that runs the build's steps and owns what they use, also where
	// the build belongs to somebody else.
	Builder, Monitor proc.Identity
	UID              uint32
	Command          string // program and verb, see api.Owner
	Keeps            bool   // it leaves its working containers on purpose
	Serves           bool   // it is the API service
	// Request is the directory of the request that the step belongs to, where it is certain.
	Request *request.Dir
}
