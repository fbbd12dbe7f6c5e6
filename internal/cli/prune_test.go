package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// fakePruner has two leftovers, one of which stays.
type fakePruner struct {
	before  time.Time
	removed int
	fails   error
}

func (p *fakePruner) Find(_ context.Context, before time.Time) ([]leftover, error) {
	p.before = before
	return []leftover{
		{Kind: "container", What: strings.Repeat("a", 64), Bytes: 3 << 20, Created: before.Add(-time.Hour)},
		{Kind: "bundle", What: "/var/tmp/buildah1", Bytes: 8 << 10, Created: before.Add(-time.Minute), Kept: "used by a process"},
	}, p.fails
}

func (p *fakePruner) Remove(_ context.Context, _ time.Time, shown []leftover) ([]leftover, error) {
	p.removed++
	shown[0].Removed = true
	return shown, nil
}

func TestPruneAsksBeforeItRemoves(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for name, row := range map[string]struct {
		args    string
		answer  string
		code    int
		removed int
		out     string
	}{
		"yes":         {"prune", "y\n", 0, 1, "1 removed, 3.0M"},
		"no":          {"prune", "\n", 0, 0, "used by a process"},
		"end of file": {"prune", "", 0, 0, "aaaaaaaaaaaa"},
		"no terminal": {"prune", "file", 1, 0, "KIND"},
		"force":       {"prune --force --filter until=24h", "", 0, 1, "1 removed"},
		"dry run":     {"prune --dry-run", "", 0, 0, "used by a process"},
		"JSON":        {"prune --dry-run --json", "", 0, 0, `"kept": "used by a process"`},
		"both":        {"prune --force --dry-run", "", exitUsage, 0, ""},
		"bad filter":  {"prune --filter until=soon", "", exitUsage, 0, ""},
		"other key":   {"prune --filter label=x", "", exitUsage, 0, ""},
	} {
		var out, errs bytes.Buffer
		now := time.Now()
		p := &fakePruner{}
		e := Environment{Out: &out, Err: &errs, Getenv: func(string) string { return "" }, Now: func() time.Time { return now }, Pruner: p}
		if e.In = strings.NewReader(row.answer); row.answer == "file" {
			e.In = file
		}
		code := Main(strings.Fields(row.args), e)
		if code != row.code || p.removed != row.removed || !strings.Contains(out.String(), row.out) {
			t.Errorf("%s: %d, %d removals\n%s%s", name, code, p.removed, out.String(), errs.String())
		}
		if strings.Contains(row.args, "24h") && !p.before.Equal(now.Add(-24*time.Hour)) {
			t.Errorf("%s: before %s", name, p.before)
		}
	}
}

// TestRootPrunesForOthers, each as that user; nobody else does.
func TestRootPrunesForOthers(t *testing.T) {
	for name, row := range map[string]struct {
		args    string
		uid     uint32
		code    int
		removed string
		out     string
	}{
		"one user":         {"prune --force --user alice", 0, 0, "alice", "USER   KIND"},
		"several":          {"prune --force --user alice --user bob", 0, 0, "alice bob", "2 removed"},
		"all who build":    {"prune --force --all-users", 0, 0, "root alice bob", "3 removed"},
		"JSON":             {"prune --dry-run --json --user alice", 0, 0, "", `"user": "alice"`},
		"an unknown one":   {"prune --force --user eve", 0, exitFailure, "", ""},
		"not root":         {"prune --force --user alice", 1000, exitFailure, "", ""},
		"not root, of all": {"prune --force --all-users", 1000, exitFailure, "", ""},
	} {
		var out, errs bytes.Buffer
		pruners := map[string]*fakePruner{"root": {}, "alice": {}, "bob": {}}
		code := Main(strings.Fields(row.args), Environment{
			Out: &out, Err: &errs, Getenv: func(string) string { return "" }, Now: time.Now, UID: row.uid, Pruner: &fakePruner{},
			PrunerOf: func(user string) (pruner, error) {
				if p := pruners[user]; p != nil {
					return p, nil
				}
				return nil, errors.New("there is no such user")
			},
			Builders: func() ([]string, error) { return []string{"root", "alice", "bob"}, nil },
		})
		var removed []string
		for _, user := range []string{"root", "alice", "bob"} {
			if pruners[user].removed > 0 {
				removed = append(removed, user)
			}
		}
		if code != row.code || strings.Join(removed, " ") != row.removed || !strings.Contains(out.String(), row.out) {
			t.Errorf("%s: %d, removed of %q\n%s%s", name, code, removed, out.String(), errs.String())
		}
	}
}

func TestPruneTellsWhatHasFailed(t *testing.T) {
	var out, errs bytes.Buffer
	e := Environment{Out: &out, Err: &errs, Getenv: func(string) string { return "" }, Now: time.Now, Pruner: &fakePruner{fails: errors.New("no podman")}}
	if code := Main([]string{"prune", "--force"}, e); code != exitFailure || !strings.Contains(errs.String(), "no podman") {
		t.Errorf("%d: %s", code, errs.String())
	}
	e.Pruner = nil
	if code := Main([]string{"prune"}, e); code != exitFailure || !strings.Contains(errs.String(), "Linux") {
		t.Errorf("%d: %s", code, errs.String())
	}
}
