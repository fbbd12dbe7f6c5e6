package observe

import "time"

// Looks that take longer than usual rest restFactor times what they take more, so that they
// have a fiftieth of a processor: on a small machine that is emulated one takes 30 ms, and
// podman executes itself about twice a second all through a build. restMost bounds what is
// seen late for that.
const (
	usual      = 4 * time.Millisecond // with 250 processes
	restFactor = 50
	restMost   = time.Second
)

// pace knows what the last looks took. What they cost is the least of it: the others had to
// wait for a processor, which is no reason to look less.
type pace struct {
	took [8]time.Duration
	n    int
}

func (p *pace) note(took time.Duration) {
	p.took[p.n%len(p.took)] = took
	p.n++
}

func (p *pace) rest() time.Duration {
	if p.n == 0 {
		return 0
	}
	least := p.took[0]
	for _, took := range p.took[:min(p.n, len(p.took))] {
		least = min(least, took)
	}
	return min(restFactor*max(0, least-usual), restMost)
}
