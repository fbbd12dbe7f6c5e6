package owners

import (
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/request"
)

// Step is one RUN step, and who runs it.
type Step struct {
	Builder Builder
	Monitor proc.Identity
	// Request is the directory of the request that the step belongs to, where it is certain.
	Request *request.Dir
}
