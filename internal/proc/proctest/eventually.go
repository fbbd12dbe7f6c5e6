package proctest

import (
	"testing"
	"time"
)

// never is longer than anything takes that a test waits for, but in a broken one.
const never = 30 * time.Second

// Eventually waits for what no event tells of: that something is, as the words say. It
// fails the test, and returns, where that never comes. Any goroutine may call it.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(never); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("it never comes that %s", what)
			return
		}
	}
}

// After waits for a moment after another one: until a time that is to be told from it, or
// that something has to be over by, has gone by.
func After(t testing.TB, begin time.Time, pause time.Duration) {
	t.Helper()
	Eventually(t, pause.String()+" go by", func() bool { return time.Since(begin) > pause })
}
