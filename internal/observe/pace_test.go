package observe

import (
	"testing"
	"time"
)

// TestLooksRestWhereEachIsSlow, and not where the host is busy.
func TestLooksRestWhereEachIsSlow(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		took []time.Duration
		want time.Duration
	}{
		"none yet":                    {nil, 0},
		"a host as most are":          {[]time.Duration{3 * ms, 4 * ms, 3 * ms}, 0},
		"busy, now and then":          {[]time.Duration{400 * ms, 5 * ms, 300 * ms}, 50 * ms},
		"emulated":                    {[]time.Duration{14 * ms, 20 * ms}, 500 * ms},
		"very slow":                   {[]time.Duration{200 * ms}, restMost},
		"more processes than it was":  {append([]time.Duration{ms}, repeat(8*ms, 8)...), 200 * ms},
		"fewer processes than before": {append(repeat(10*ms, 8), ms), 0},
	} {
		var p pace
		for _, took := range test.took {
			p.note(took)
		}
		if got := p.rest(); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func repeat(d time.Duration, n int) (all []time.Duration) {
	for range n {
		all = append(all, d)
	}
	return all
}
