//go:build integration

package integration

import (
	"strings"
	"testing"
)

// endedMessageID is that of the journal's entry of an ended build.
const endedMessageID = "MESSAGE_ID=7c1d4f0e3b5a4d1c9a62e8f0b7d35c19"

// TestEndOfABuildIsInTheJournal: in the system's, under the scope's unit, with what is
// known of it and a text that explains; and in its user's own.
func TestEndOfABuildIsInTheJournal(t *testing.T) {
	asUser(t, func(t *testing.T, who user) {
		p := startBuildOf(t, who, "podman build", family, "--network=none")
		view := listedOf(t, who, familySize)
		sh(t, "%s stop %s", ctl, view.ID)
		p.wait(t)
		var out string
		eventually(t, func() (string, bool) {
			out = sh(t, "journalctl --sync; journalctl -q --no-pager -o verbose -u %s %s", view.Scope, endedMessageID)
			return out, strings.Contains(out, endedMessageID)
		})
		for _, want := range []string{
			"Build " + view.ID + " is gone (stopped)", "BUILDWATCH_REASON=stopped", "BUILDWATCH_ASKED_BY_UID=0", "BUILDWATCH_USER=" + string(who),
			"BUILDWATCH_COMMAND=podman build", "BUILDWATCH_MODE=local", "BUILDWATCH_ARCH=aarch64", "BUILDWATCH_PROCESSES_ENDED=aarch64=5",
			"BUILDWATCH_RUNGS=kill=", "BUILDWATCH_SURVIVORS=0", "BUILDWATCH_CPU_SECONDS=", "BUILDWATCH_CREATED_AT=",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("the entry does not say %s:\n%s", want, out)
			}
		}
		explained := sh(t, "journalctl -q --no-pager --catalog -u %s %s", view.Scope, endedMessageID)
		if !strings.Contains(explained, "Subject: Container build "+view.ID+" has ended: stopped") {
			t.Errorf("it is not explained:\n%s", explained)
		}
		if who != root {
			own := who.sh(t, "journalctl --quiet --no-pager -o cat %s BUILDWATCH_ID=%s", endedMessageID, view.ID)
			if strings.Count(own, "\n") != 0 || !strings.Contains(own, "root asked for it") {
				t.Errorf("the user's own journal says %q", own)
			}
		}
	})
}
