package observe

import (
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
)

// TestWhatIsTrustedAsABuilder: a file that only root can have put there.
func TestWhatIsTrustedAsABuilder(t *testing.T) {
	p := &programs{systems: map[[2]uint32]bool{{8, 1}: true}}
	host, users := proc.FileID{Major: 8, Minor: 1}, proc.FileID{Minor: 77}
	for _, test := range []struct {
		name    string
		program proc.Program
		want    bool
	}{
		{"installed", proc.Program{FileID: host, Roots: true}, true},
		{"a user's own", proc.Program{FileID: host}, false},
		{"root's by the word of a user's file system", proc.Program{FileID: users, Roots: true}, false},
	} {
		if got := p.trusts(test.program); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestThisProgramIsNoBuilder, whatever it is called.
func TestThisProgramIsNoBuilder(t *testing.T) {
	p := &programs{systems: map[[2]uint32]bool{}}
	p.refresh()
	if p.builder(selfPID) {
		t.Error("it is taken for one")
	}
	if p.builder(1 << 22) {
		t.Error("a process that is not there is taken for one")
	}
}
