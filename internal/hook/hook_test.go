package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/buildwatch/buildwatch/api"
	"github.com/buildwatch/buildwatch/internal/share"
	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *logrus.Entry {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return logrus.NewEntry(log)
}

func byUID(uid uint32) share.Account { return share.Account{UID: uid} }

func TestBoundsAreThoseOfTheDocs(t *testing.T) {
	sharetest.Documented(t, "builds that wait for the unit of `on_end.start`", waits)
}

// TestUserWhoseBuildsEndWithoutEndKeepsNobodysUnitWaiting.
func TestUserWhoseBuildsEndWithoutEndKeepsNobodysUnitWaiting(t *testing.T) {
	started := make(chan string)
	h := New("x@.service", "", func(ctx context.Context, unit string) error {
		select {
		case started <- unit:
		case <-ctx.Done():
		}
		return nil
	}, byUID, quiet())
	for range 10 * waits.Users {
		h.Gone(api.Ended{ID: "one", User: api.User{UID: 30000}})
	}
	h.Gone(api.Ended{ID: "another", User: api.User{UID: 30001}})
	h.Gone(api.Ended{ID: "root"})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	got := map[string]int{}
	for range waits.User + 2 {
		unit := <-started
		got[unit]++
	}
	if got["x@one.service"] != waits.User || got["x@another.service"] != 1 || got["x@root.service"] != 1 {
		t.Errorf("started: %v", got)
	}
	stop()
	<-done
}

// TestUnitIsStartedForEachBuildThatIsGone, with the ID as its instance and the facts in a
// file that only root reads; one that fails does not keep the next from it.
func TestUnitIsStartedForEachBuildThatIsGone(t *testing.T) {
	dir, started := t.TempDir(), make(chan string)
	h := New("notify-build@.service", dir, func(_ context.Context, unit string) error {
		started <- unit
		return errors.New("no such unit")
	}, byUID, quiet())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	for _, id := range []string{"bcdf2345", "ghjk6789"} {
		h.Gone(api.Ended{ID: id, Reason: api.ReasonStopped, Command: "podman build", Name: "nightly"})
		if unit := <-started; unit != "notify-build@"+id+".service" {
			t.Errorf("started is %s", unit)
		}
		text, err := os.ReadFile(filepath.Join(dir, id))
		info, _ := os.Stat(filepath.Join(dir, id))
		if err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(string(text), "BUILDWATCH_REASON=\"stopped\"\n") || !strings.Contains(string(text), "BUILDWATCH_COMMAND=\"podman build\"\n") {
			t.Errorf("%s, %v, has\n%s", id, err, text)
		}
	}
	stop()
	<-done
}

// TestWhatAUserHasChosenMeansNothingToTheUnit: a name can't set a variable of its own, nor
// be a command of the shell that the unit may run.
func TestWhatAUserHasChosenMeansNothingToTheUnit(t *testing.T) {
	for _, name := range []string{"a\"\nLD_PRELOAD=/tmp/x.so", "$(reboot)", "`reboot`", "a\\", "a;b", "'", "a&b", "a|b", "a*", "\x00", "ä"} {
		text := string(environment(api.Ended{ID: "bcdf2345", Name: name, Reason: api.ReasonStopped}))
		if strings.Contains(text, "BUILDWATCH_NAME") || strings.Contains(text, "LD_PRELOAD") || !strings.Contains(text, "BUILDWATCH_ID=\"bcdf2345\"\n") {
			t.Errorf("%q: the unit gets\n%s", name, text)
		}
	}
}

// TestThousandsOfEndsFillNothing: neither memory nor /run.
func TestThousandsOfEndsFillNothing(t *testing.T) {
	dir := t.TempDir()
	h := New("x@.service", dir, func(context.Context, string) error { return nil }, byUID, quiet())
	for range 10 * waits.Users {
		h.Gone(api.Ended{ID: "bcdf2345"}) // nobody runs: it must not wait
	}
	for i := range kept + 50 {
		if err := h.begin(t.Context(), api.Ended{ID: fmt.Sprint("b", i)}); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != kept {
		t.Errorf("%d files, %v", len(files), err)
	}
	New("", dir, nil, byUID, quiet()).Gone(api.Ended{}) // none is wanted
}
