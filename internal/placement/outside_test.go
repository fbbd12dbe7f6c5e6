package placement

import (
	"errors"
	"os"
	"testing"

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
