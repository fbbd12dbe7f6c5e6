package watch

import (
	"context"
	"fmt"
	"testing"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/limits"
)

// TestScopesHaveTheLimitsOfTheirUserAndMode, each new one.
func TestScopesHaveTheLimitsOfTheirUserAndMode(t *testing.T) {
	w := newBench(t, longTimeouts)
	want := []limits.Value{{Name: "TasksMax", Value: uint64(7)}}
	var asked []string
	w.grant = func(user api.User, mode api.Mode) []limits.Value {
		asked = append(asked, fmt.Sprintf("%d %s", user.UID, mode))
		return want
	}
	c := startChild(t, "")
	b, first := w.run(c.owner(t))
	first.clear()
	if _, err := w.place(context.Background(), c.owner(t)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*fakeScope{first, <-w.made} {
		if got := s.spec.Granted; len(got) != 1 || got[0] != want[0] {
			t.Errorf("the scope has %v", got)
		}
	}
	if one := fmt.Sprintf("%d %s", b.record.UID, b.record.Mode); len(asked) != 2 || asked[0] != one || asked[1] != one {
		t.Errorf("asked for %q", asked)
	}
}
