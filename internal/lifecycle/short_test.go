package lifecycle

import (
	"testing"

	"github.com/buildwatch/buildwatch/api"
)

// TestABuildThatEndsAfterAShortageSaysSo, unless another step has begun since, or it was
// ended for another reason.
func TestABuildThatEndsAfterAShortageSaysSo(t *testing.T) {
	for name, row := range map[string]struct {
		events []happening
		want   api.Reason
	}{
		"memory":                       {[]happening{memoryShort, ownerExitedIdle}, api.ReasonOutOfMemory},
		"tasks":                        {[]happening{tasksShort, ownerExitedIdle}, api.ReasonOutOfTasks},
		"both, memory counts":          {[]happening{memoryShort, tasksShort, requestEndedIdle}, api.ReasonOutOfMemory},
		"both, the other way round":    {[]happening{tasksShort, memoryShort, requestEndedIdle}, api.ReasonOutOfMemory},
		"a step that went on":          {[]happening{memoryShort, {"step", true}, ownerExitedIdle}, api.ReasonCompleted},
		"the next step is short, too":  {[]happening{memoryShort, {"step", true}, tasksShort, ownerExitedIdle}, api.ReasonOutOfTasks},
		"a cancel is one all the same": {[]happening{memoryShort, ownerExitedBusy}, api.ReasonOwnerExited},
		"and a stop":                   {[]happening{memoryShort, stopRequested}, api.ReasonStopped},
		"nothing":                      {[]happening{ownerExitedIdle}, api.ReasonCompleted},
	} {
		s := running
		for _, e := range row.events {
			if e.Event == "step" {
				s = s.StepBegan()
				continue
			}
			s, _ = e.to(s)
		}
		if s.Reason != row.want {
			t.Errorf("%s: %s, want %s", name, s.Reason, row.want)
		}
	}
}

// TestACommandThatIsKilledForWantOfMemorySaysSo: podman is inside the scope of a run, and
// the kernel may choose it and not the step. That was told as a cancel.
func TestACommandThatIsKilledForWantOfMemorySaysSo(t *testing.T) {
	inside := running
	inside.CommandInside = true
	s, _ := memoryShort.to(inside)
	if s, _ := ownerExitedBusy.to(s); s.Reason != api.ReasonOutOfMemory || s.State != api.StateAbandoned {
		t.Errorf("%+v", s)
	}
	if s, _ := ownerExitedBusy.to(inside); s.Reason != api.ReasonOwnerExited {
		t.Errorf("without a shortage: %s", s.Reason)
	}
	s.ReportOnly = true
	if s, _ := ownerExitedBusy.to(s); s.Reason != api.ReasonOwnerExited { // what may be reported is for other reasons
		t.Errorf("where it is only reported: %s", s.Reason)
	}
}
