package reclaim

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRootAsksTheUsersOwnHelper, and believes no more of its answer than of any user's.
func TestRootAsksTheUsersOwnHelper(t *testing.T) {
	good := Result{Version: docVersion, Items: []Item{{Kind: KindContainer, What: hex('1'), Bytes: 5}}}
	for name, row := range map[string]struct {
		answer []byte
		err    error
		items  int
		fails  bool
	}{
		"an answer":      {answer: encode(good), items: 1},
		"its own error":  {answer: encode(Result{Version: docVersion, Items: good.Items, Error: "no podman\x1b[2J"}), items: 1, fails: true, err: errors.New("exit status 1")},
		"nothing":        {err: errors.New("exit status 203"), fails: true},
		"something else": {answer: []byte("hello"), fails: true},
		"a path":         {answer: encode(Result{Version: docVersion, Items: []Item{{Kind: KindBundle, What: "/../x"}}}), fails: true},
		"too much":       {answer: bytes.Repeat([]byte(" "), maxDoc+1), fails: true},
	} {
		var asked Job
		u := OfUser{UID: 1000, Program: "/libexec/buildwatch-reclaim", run: func(_ context.Context, in []byte, name string, args ...string) ([]byte, error) {
			must(t, decode(bytes.NewReader(in), &asked))
			if name != "systemd-run" || !slices.Contains(args, "--uid=1000") || args[len(args)-1] != "/libexec/buildwatch-reclaim" {
				t.Errorf("called is %s %q", name, args)
			}
			return row.answer, row.err
		}}
		items, err := u.Remove(context.Background(), time.Unix(1, 0), good.Items)
		if len(items) != row.items || (err != nil) != row.fails || err != nil && strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %+v, %v", name, items, err)
		}
		if asked.Prune == nil || asked.Prune.Before != 1_000_000 || len(asked.Prune.Remove) != 1 || asked.check() != nil {
			t.Errorf("%s: asked is %+v", name, asked)
		}
	}
}

// TestOwnStorageIsWhereTheCallersEnvironmentSays, and another user's where that user's does.
func TestOwnStorageIsWhereTheCallersEnvironmentSays(t *testing.T) {
	t.Setenv("CONTAINERS_STORAGE_CONF", "/srv/storage.conf")
	t.Setenv("CONTAINER_HOST", "ssh://elsewhere") // its storage is not here
	const variable = "CONTAINERS_STORAGE_CONF=/srv/storage.conf"
	if env := environment(); !slices.Contains(env, variable) || slices.Contains(env, "CONTAINER_HOST=ssh://elsewhere") {
		t.Errorf("%q", env)
	}
	for uid, want := range map[uint32]bool{uint32(os.Geteuid()): true, uint32(os.Geteuid()) + 1: false} {
		args := OfUser{UID: uid}.arguments()
		if slices.Contains(args, "--setenv=CONTAINERS_STORAGE_CONF") != want || slices.Contains(args, "--setenv=CONTAINER_HOST") {
			t.Errorf("UID %d: %q", uid, args)
		}
	}
}

// TestHelperPrunesWhatItIsAsked: what was shown, and no more.
func TestHelperPrunesWhatItIsAsked(t *testing.T) {
	s := newStore(t)
	s.created = time.Now().Add(-time.Hour)
	s.add(hex('1'), hex('a'), "{}")
	l, _ := leftoversIn(t, s, alone)
	before := time.Now().UnixMicro()
	t.Setenv("HOME", t.TempDir()) // without a storage: root is asked all the same
	shown := []Item{{Kind: KindContainer, What: hex('1'), Created: s.created.UnixMicro()}}
	for _, row := range []struct {
		remove []Item
		left   int
	}{{[]Item{{Kind: KindContainer, What: hex('2')}}, 1}, {shown, 0}} {
		if _, err := do(context.Background(), l.tidier, Job{Version: docVersion, Prune: &Pruning{before, row.remove}}); err != nil || len(s.ids()) != row.left {
			t.Errorf("%+v: left are %v, %v", row.remove, s.ids(), err)
		}
	}
}
