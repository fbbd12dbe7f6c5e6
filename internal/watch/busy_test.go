package watch

import (
	"context"
	"testing"

	"github.com/buildwatch/buildwatch/internal/owners"
)

// TestOwnerWhoseStepHasEndedUnseenGoesOn: what the last look has found may be gone, so
// before an owner is signalled it is looked again.
func TestOwnerWhoseStepHasEndedUnseenGoesOn(t *testing.T) {
	w := newBench(t, longTimeouts)
	w.inStep = func(context.Context, *owners.Owner) bool { return false }
	owner, process := startChild(t, ""), startChild(t, "")
	b := w.observe(owner.owner(t), newFakeStep(t, process))
	if b.ownerGoesOn() {
		t.Error("an owner in a step goes on")
	}
	process.end()
	process.wait()
	if !b.ownerGoesOn() {
		t.Error("an owner whose step has ended does not")
	}
	owner.end()
	w.end()
}
