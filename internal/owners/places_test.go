package owners

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/buildwatch/buildwatch/internal/proc"
	"github.com/buildwatch/buildwatch/internal/share/sharetest"
)

// TestBoundsAreThoseOfTheDocs: docs/security.md, "What all users share".
func TestBoundsAreThoseOfTheDocs(t *testing.T) { sharetest.Documented(t, "builds", builds) }

// Attack 7: 65,536 subuids, a request each.
func TestUsersHaveABoundedNumberOfBuilds(t *testing.T) {
	f := finder()
	begin := func(uid uint32) bool {
		_, ok := f.Place(nil, uid)
		return ok
	}
	for range maxBuildsOfUser {
		if !begin(1000) {
			t.Fatal("a user has less than is said")
		}
	}
	if begin(1000) {
		t.Error("a user has one more")
	}
	if !begin(1001) {
		t.Error("another user has none")
	}
	// Many users take what they can: who has few gets some all the same, and root any.
	for uid := uint32(20000); f.places.InUse() < maxBuildsOfUsers-spareBuilds; uid++ {
		for begin(uid) {
		}
	}
	for range fewBuilds {
		if !begin(1002) {
			t.Error("a user's few are refused")
		}
	}
	if begin(1002) {
		t.Error("a user has one more than those")
	}
	for uid := uint32(30000); f.places.InUse() < maxBuildsOfUsers; uid++ {
		if !begin(uid) {
			t.Fatal("a user's first is refused")
		}
	}
	if begin(1003) {
		t.Error("all users have one more")
	}
	if !begin(0) {
		t.Error("root is refused")
	}
}

// TestBuildsOfSubordinateUIDsCountForWhomTheyAreLentTo: one login user has 65,536 of them.
func TestBuildsOfSubordinateUIDsCountForWhomTheyAreLentTo(t *testing.T) {
	f := finder()
	lent := filepath.Join(t.TempDir(), "subuid")
	if err := os.WriteFile(lent, []byte("1000:100000:65536\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.Args.Accounts = proc.AccountsBy(lent)
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	begun := 0
	for uid := uint32(100000); uid < 100000+2*maxBuildsOfUser; uid++ {
		if _, ok := f.Place(&Owner{Handle: self}, uid); ok {
			begun++
		}
	}
	if begun != maxBuildsOfUser {
		t.Errorf("%d builds of one user's subordinate UIDs, want %d", begun, maxBuildsOfUser)
	}
}

// TestOwnerThatIsSparedIsSoAfterARestart of the daemon.
func TestOwnerThatIsSparedIsSoAfterARestart(t *testing.T) {
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	f := finder()
	r, err := Decode(NewRecord(NewID(), &Owner{Handle: self, Mode: "local", Command: "podman kube play", Spared: true}, 1000).Encode())
	if err != nil {
		t.Fatal(err)
	}
	o, _, err := f.Again(r)
	if err != nil || !o.Spared {
		t.Fatalf("found again as %+v, %v", o, err)
	}
	o.Close()
}
