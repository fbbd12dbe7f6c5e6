package daemon

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/scopes"
	"github.com/buildwatch/buildwatch/internal/watch"
)

// TestCallersOfRunHearWhatTheyHaveBroughtAboutThemselves, and nothing of what is the daemon's.
func TestCallersOfRunHearWhatTheyHaveBroughtAboutThemselves(t *testing.T) {
	for err, want := range map[error]api.ErrorCode{
		watch.ErrTooMany: api.CodeBusy, scopes.ErrBusy: api.CodeBusy, watch.ErrPart: api.CodePart,
		owners.ErrNoWaiter: api.CodeRefused, owners.ErrNotYours: api.CodeRefused, proc.ErrOtherProgram: api.CodeRefused,
		proc.ErrGone: api.CodeRefused, scopes.ErrLeft: api.CodeRefused, watch.EndedError{Reason: api.ReasonStopped}: api.CodeRefused,
		scopes.ErrNoSystemd: "", io.EOF: "",
	} {
		var told *api.Error
		if errors.As(refusal(fmt.Errorf("wrapped: %w", err)), &told); want == "" && told != nil || want != "" && (told == nil || told.Code != want) {
			t.Errorf("%v is told as %+v, want %q", err, told, want)
		}
	}
	if refusal(nil) != nil {
		t.Error("success is refused")
	}
}
