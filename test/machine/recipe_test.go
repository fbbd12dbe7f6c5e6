package machine

import (
	"strings"
	"testing"
)

func TestDirNameFollowsTheRecipe(t *testing.T) {
	base := newRecipe(suites["trixie"])
	if base.dirName() != newRecipe(suites["trixie"]).dirName() {
		t.Error("the same recipe has two names")
	}
	if !strings.HasPrefix(base.dirName(), "trixie-") {
		t.Errorf("%q does not begin with its suite", base.dirName())
	}
	for name, change := range map[string]func(*recipe){
		"packages":      func(r *recipe) { r.Packages = append(r.Packages, "another") },
		"runtime":       func(r *recipe) { r.Suite.Runtime = "runc" },
		"setup":         func(r *recipe) { r.Setup = []byte("another") },
		"another suite": func(r *recipe) { r.Suite.Name = "bookworm" },
	} {
		r := newRecipe(suites["trixie"])
		if change(&r); r.dirName() == base.dirName() {
			t.Errorf("%s: a changed recipe has the old name", name)
		}
	}
}

func TestUnknownSuite(t *testing.T) {
	if _, err := findSuite("warty"); err == nil || !strings.Contains(err.Error(), "bookworm, forky, trixie") {
		t.Errorf("error %v does not say which suites there are", err)
	}
}
