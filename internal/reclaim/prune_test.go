package reclaim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// leftoversIn are those of a storage, by a podman that names it, and of a directory for temporary files.
func leftoversIn(t *testing.T, s aStore, look func() (processes, error)) (Leftovers, string) {
	t.Helper()
	podman, _ := s.tool("")
	script, err := os.ReadFile(podman.path)
	must(t, err)
	must(t, os.WriteFile(podman.path, fmt.Appendf(nil, "#!/bin/sh\n[ \"$1\" != info ] || { echo level=warning: no session >&2; echo %s overlay $2; exit; }\n%s", s.Graph, script), 0o700))
	dir := t.TempDir()
	return Leftovers{tidier{[]tool{podman}, look, []string{dir}, nil, none}}, dir
}

func TestPruneRemovesWhatDeadBuildsHaveLeftAndWasShown(t *testing.T) {
	s := newStore(t)
	s.created = time.Now().Add(-time.Hour)
	s.add(hex('1'), hex('a'), "{}")
	s.add(hex('2'), hex('b'), "null") // buildah from
	l, dir := leftoversIn(t, s, alone)
	bundle(t, filepath.Join(dir, "buildah42"))
	must(t, os.Mkdir(filepath.Join(dir, "libpod_builder7"), 0o700))
	must(t, os.Mkdir(filepath.Join(dir, "buildah-cache-0"), 0o700))
	found, err := l.Find(context.Background(), time.Now().Add(time.Second))
	must(t, err)
	shown := found
	if len(shown) != 3 || slices.ContainsFunc(shown, func(i Item) bool { return i.Why != WhyNone }) {
		t.Fatalf("shown: %+v", shown)
	}
	s.add(hex('3'), hex('c'), "{}") // not shown
	done, err := l.Remove(context.Background(), time.Now().Add(time.Second), shown)
	must(t, err)
	if len(done) != 3 || slices.ContainsFunc(done, func(i Item) bool { return !i.Removed }) {
		t.Errorf("%+v", done)
	}
	if got := s.ids(); !slices.Equal(got, []string{hex('2'), hex('3')}) {
		t.Errorf("left are %v", got)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
}

func TestPruneLeavesWhatIsYoungAndWhatMayBeALivingBuilds(t *testing.T) {
	s := newStore(t)
	s.created = time.Now().Add(-time.Hour)
	s.add(hex('1'), hex('a'), "{}")
	l, dir := leftoversIn(t, s, func() (processes, error) { return processes{builders: []int64{1}}, nil })
	bundle(t, filepath.Join(dir, "buildah42"))
	found, err := l.Find(context.Background(), time.Now().Add(time.Second))
	must(t, err)
	if len(found) != 2 || found[0].Why != WhyDoubt || found[1].Why != WhyDoubt {
		t.Errorf("while a builder lives: %+v", found)
	}
	done, err := l.Remove(context.Background(), time.Now().Add(time.Second), found)
	must(t, err)
	if len(s.ids()) != 1 || slices.ContainsFunc(done, func(i Item) bool { return i.Removed }) {
		t.Errorf("%+v", done)
	}
	l.look = alone
	if found, _ = l.Find(context.Background(), time.Now().Add(-30*time.Minute)); len(found) != 1 {
		t.Errorf("made more than half an hour ago: %+v", found)
	}
}
