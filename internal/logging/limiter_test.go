package logging

import (
	"fmt"
	"testing"
	"time"
)

func TestLimiterLetsOneEntryThroughInAnInterval(t *testing.T) {
	l := NewLimiter(time.Minute, 10)
	now := time.Unix(1000, 0)
	for i, test := range []struct {
		key        string
		after      time.Duration
		suppressed int
		ok         bool
	}{
		{"a", 0, 0, true},
		{"a", time.Second, 0, false},
		{"b", time.Second, 0, true},
		{"a", 59 * time.Second, 0, false},
		{"a", 60 * time.Second, 2, true},
		{"a", 61 * time.Second, 0, false},
		{"b", 200 * time.Second, 0, true},
	} {
		suppressed, ok := l.Allow(test.key, now.Add(test.after))
		if suppressed != test.suppressed || ok != test.ok {
			t.Errorf("%d: got %d, %v, want %d, %v", i, suppressed, ok, test.suppressed, test.ok)
		}
	}
}

func TestLimiterIsBoundedWithEverNewKeys(t *testing.T) {
	l := NewLimiter(time.Minute, 10)
	now := time.Unix(1000, 0)
	allowed := 0
	for i := range 100_000 {
		if _, ok := l.Allow(fmt.Sprint("key", i), now); ok {
			allowed++
		}
	}
	if allowed != 11 || len(l.seen) != 11 {
		t.Errorf("%d entries let through, %d keys remembered, want 11", allowed, len(l.seen))
	}
	if _, ok := l.Allow("new", now.Add(time.Minute)); !ok || len(l.seen) > 11 {
		t.Errorf("a new key is still held back after the interval; %d keys remembered", len(l.seen))
	}
}
