package stall

import (
	"testing"
	"time"
)

// TestTracker: since when a build hangs, from look to look. A look is every second,
// and a build is stalled after five.
func TestTracker(t *testing.T) {
	const after = 5 * time.Second
	type look struct {
		cpu   time.Duration // used since the last one
		marks string        // "" for a build that may go on
		since int           // the look since which it is stalled, counted from 1; 0: it is not
	}
	hangs := look{0, "a", 0}
	for _, row := range []struct {
		name  string
		looks []look
	}{
		{"hangs", []look{hangs, hangs, hangs, hangs, hangs, {0, "a", 1}, {0, "a", 1}}},
		{"may go on", []look{{}, {}, {}, {}, {}, {}, {}, {}}},
		{"computes", []look{{time.Second, "a", 0}, {time.Second, "a", 0}, {time.Second, "a", 0}, {time.Second, "a", 0}, {time.Second, "a", 0}, {time.Second, "a", 0}}},
		{"computes, then hangs", []look{hangs, hangs, {time.Second, "a", 0}, hangs, hangs, hangs, hangs, {0, "a", 3}}},
		{"sleeps, then hangs", []look{hangs, hangs, {0, "", 0}, hangs, hangs, hangs, hangs, {0, "a", 3}}},
		{"runs too little for level one", []look{hangs, hangs, hangs, {time.Microsecond, "b", 0}, {0, "b", 0}, {0, "b", 0}, {0, "b", 0}, {0, "b", 0}, {0, "b", 4}}},
		{"the monitor wakes", []look{hangs, hangs, {200 * time.Microsecond, "a", 0}, hangs, hangs, {200 * time.Microsecond, "a", 1}}},
		{"goes on", []look{hangs, hangs, hangs, hangs, hangs, {0, "a", 1}, {0, "b", 0}, {0, "b", 0}, {0, "b", 0}, {0, "b", 0}, {0, "b", 0}, {0, "b", 7}}},
		{"computes again", []look{hangs, hangs, hangs, hangs, hangs, {0, "a", 1}, {time.Second, "a", 0}, hangs}},
		{"sleeps again", []look{hangs, hangs, hangs, hangs, hangs, {0, "a", 1}, {0, "", 0}, hangs}},
		{"a counter that is gone", []look{hangs, hangs, hangs, hangs, {-time.Millisecond, "a", 0}, hangs, hangs}},
	} {
		var tracker Tracker
		start, cpu := time.Now(), time.Hour
		at := func(look int) time.Time { return start.Add(time.Duration(look) * time.Second) }
		for i, l := range row.looks {
			cpu += l.cpu
			read := false
			since, hung := tracker.Look(at(i), cpu, after, func() Sample {
				read = true
				if l.marks == "" {
					return Sample{}
				}
				return Sample{Hung: []Process{{PID: 4}}, Marks: l.marks}
			})
			if moved := i == 0 || l.cpu < 0 || l.cpu > time.Millisecond; read == moved {
				t.Errorf("%s, look %d: /proc was read: %v", row.name, i+1, read)
			}
			want := time.Time{}
			if l.since > 0 {
				want = at(l.since - 1)
			}
			if !since.Equal(want) || (len(hung) > 0) != (l.since > 0) {
				t.Errorf("%s, look %d: stalled since %v, want %v; %v", row.name, i+1, since.Sub(start), want.Sub(start), hung)
			}
		}
	}
}
