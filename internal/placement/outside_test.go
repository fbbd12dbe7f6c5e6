package placement

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/buildwatch/buildwatch/internal/owners"
	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/proc/proctest"
	"github.com/buildwatch/buildwatch/internal/wire"
)

// TestContainerThatCannotBePlacedIsToldOf: the wrapper has found out by itself.
func TestContainerThatCannotBePlacedIsToldOf(t *testing.T) {
	d := serve(t, listen(t), &fakePlaces{}, Options{})
	c := connect(t, d)
	if err := c.say(wire.Message{Type: wire.Outside, Container: "buildah-buildah1"}); err != nil {
		t.Fatal(err)
	}
	c.wantEnd(t, "")
	if cause := d.counts.next(t); cause != CauseOutside || d.unplaced.Load() != 1 {
		t.Errorf("counted as %q, %d told of", cause, d.unplaced.Load())
	}
	if asked, _ := d.fakes.seen(); len(asked) != 0 {
		t.Errorf("asked for a place: %v", asked)
	}
	// Of another program it is not believed.
	other := serve(t, listen(t), &fakePlaces{}, Options{Wrapper: install(t)})
	c = connect(t, other)
	if err := c.say(wire.Message{Type: wire.Outside, Container: "buildah-buildah1"}); err != nil {
		t.Fatal(err)
	}
	c.wantEnd(t, "")
	other.stop()
	other.counts.none(t)
	if other.unplaced.Load() != 0 {
		t.Error("another program was believed")
	}
}

// TestBuildInACgroupNamespaceOfItsOwnIsNotPlaced: the path of its place would mean
// another cgroup there (unshare -C, ProtectControlGroups=private).
func TestBuildInACgroupNamespaceOfItsOwnIsNotPlaced(t *testing.T) {
	s := New(Options{Wrapper: proctest.Self(t)})
	h, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	caller := owners.Caller{Handle: h}
	if err := s.seesOurs(caller); err != nil {
		t.Errorf("in the daemon's own: %v", err)
	}
	s.cgroups = "cgroup:[1]"
	if err := s.seesOurs(caller); !errors.Is(err, errElsewhere) {
		t.Errorf("in another: %v", err)
	}
}

// TestRootOfAnotherPIDNamespaceIsToldWhy (unshare --pid), and its container is looked for.
func TestRootOfAnotherPIDNamespaceIsToldWhy(t *testing.T) {
	h, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	log := logrus.New()
	log.SetOutput(&buffer{})
	fakes, counts, unplaced := &fakePlaces{}, make(recorder, 2), 0
	s := New(Options{
		Places: fakes.places, Wrapper: proctest.Self(t), Limit: time.Second, Metrics: counts,
		Unplaced: func(*proc.Handle) { unplaced++ }, Log: log,
	})
	ours, theirs := pair(t)
	defer theirs.Close()
	if _, err := theirs.Write(wire.Encode(prepare)); err != nil {
		t.Fatal(err)
	}
	s.handle(context.Background(), ours, caller{Caller: owners.Caller{Handle: h, UID: 65534, GID: 65534}, stranger: true})
	ours.Close()
	c := &client{theirs, -1}
	defer c.close()
	if got, err := c.hear(); err != nil || got.Type != wire.Refused || got.Reason != errStranger.Error() {
		t.Errorf("the answer is %+v, %v", got, err)
	}
	if cause := counts.next(t); cause != CauseOutside || unplaced != 1 {
		t.Errorf("counted as %q, %d told of", cause, unplaced)
	}
	if asked, _ := fakes.seen(); len(asked) != 0 {
		t.Errorf("asked for a place: %v", asked)
	}
}
