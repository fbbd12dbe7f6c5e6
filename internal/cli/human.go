package cli

import (
	"fmt"
	"time"

	"github.com/buildwatch/buildwatch/internal/limits"
)

// humanDuration is a duration as people say it: its two largest units, or only
// the seconds below two minutes.
func humanDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 2*day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
}

// humanCPU is CPU time: with tenths of a second while it is short.
func humanCPU(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.1fs", max(seconds, 0))
	}
	return humanDuration(time.Duration(seconds * float64(time.Second)))
}

// humanStep is how long a rung of the ladder took.
func humanStep(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// timestamp is a point in time for programs and people alike, in the zone of who
// asks; empty for none.
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.RFC3339)
}

// humanBytes is an amount of memory; empty for none.
func humanBytes(n uint64) string {
	if n == 0 {
		return ""
	}
	return limits.Rounded(n)
}
