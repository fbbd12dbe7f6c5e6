//go:build linux

package cli

import (
	"bytes"
	"context"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/history"
)

// TestUserOfABuildThatWasEndedIsTold who did it, and of no build that failed by itself.
func TestUserOfABuildThatWasEndedIsTold(t *testing.T) {
	ending := twoBuilds()[0]
	ending.ID, ending.State, ending.Reason = "ending22", api.StateKilling, api.ReasonStopped
	socket, builds := start(t, append(twoBuilds(), ending)...)
	past := endedBuilds()
	by := uint32(1001)
	past = append(past, past[0], past[0])
	past[2].ID, past[2].Reason = "left2345", api.ReasonOwnerExited
	past[3].ID, past[3].AskedBy = "ending22", &by
	var err bytes.Buffer
	a := &app{socket: socket, Environment: Environment{Err: &err, Now: nowIs, UID: 1000}}
	a.Past = func(_ context.Context, q history.Query, each func(api.Ended) error) error {
		for _, e := range past {
			if e.ID == q.ID {
				return each(e)
			}
		}
		return nil
	}
	go builds.End("ending22")
	for id, want := range map[string]string{
		"past2345": `build past2345 was ended (stopped): root asked for it; "buildwatchctl show past2345" says more`,
		"ending22": `build ending22 was ended (stopped): UID 1001 asked for it; "buildwatchctl show ending22" says more`,
		"pasz2345": "", "bcdf2345": "", "left2345": "", "nosuchid": "",
	} {
		if got := a.whyEnded(t.Context(), id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}
