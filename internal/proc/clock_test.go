package proc

import (
	"testing"
	"time"
)

// TestBeatsOfOnePeriodAreOneMoment, and those of a multiple are among them.
func TestBeatsOfOnePeriodAreOneMoment(t *testing.T) {
	const often, seldom = time.Second, 3 * time.Second
	since, _, err := Boot()
	if err != nil {
		t.Fatal(err)
	}
	for _, period := range []time.Duration{often, seldom} {
		rest := Beat(period)
		now, _, err := Boot()
		if err != nil {
			t.Fatal(err)
		}
		// Where it lies is known as well as when Beat has read the clock.
		if rest < beatSlack || (now+rest)/period == (since+rest-1)/period {
			t.Errorf("in %v after %v to %v: no multiple of %v", rest, since, now, period)
		}
	}
}
